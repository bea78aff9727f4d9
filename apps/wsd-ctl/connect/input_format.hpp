// How the bytes of standard input become messages.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace wsd::ctl {

/// Splits an input into messages. For one thread at a time.
class InputFormat {
   public:
    virtual ~InputFormat() = default;

    /// Takes the next bytes, and appends the messages that they complete.
    virtual void take(std::string_view bytes, std::vector<std::string>& messages) = 0;
    /// The input has ended. Appends what is left of it, if that is a message.
    virtual void finish(std::vector<std::string>& messages) = 0;
    /// The bytes of the message that is not complete yet.
    virtual std::size_t pending() const = 0;
    /// Whether the bytes themselves have ended the input, as Ctrl-D does.
    virtual bool ended() const { return false; }
};

/// Notices lines that a terminal may have cut: its line discipline silently drops what follows byte 4095.
class CutLines {
   public:
    /// Takes the next bytes from the terminal. Returns whether a line in them has as many bytes as fit.
    bool take(std::string_view bytes);

   private:
    std::size_t length_ = 0;  ///< of the line so far
};

/// Each message ends with a delimiter; the last one may end with the input.
class DelimitedInput final : public InputFormat {
   public:
    explicit DelimitedInput(char delimiter) : delimiter_(delimiter) {}

    void take(std::string_view bytes, std::vector<std::string>& messages) override;
    void finish(std::vector<std::string>& messages) override;
    std::size_t pending() const override { return rest_.size(); }

   private:
    char delimiter_;
    std::string rest_{};
};

/// All of the input is one message. An empty input has no message.
class WholeInput final : public InputFormat {
   public:
    void take(std::string_view bytes, std::vector<std::string>&) override { whole_ += bytes; }
    void finish(std::vector<std::string>& messages) override;
    std::size_t pending() const override { return whole_.size(); }

   private:
    std::string whole_{};
};

}  // namespace wsd::ctl
