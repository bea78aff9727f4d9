// Lines that a person types on a terminal, while messages are printed above them.
#pragma once

#include <termios.h>

#include <functional>
#include <memory>
#include <mutex>
#include <ostream>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

#include "wsd-ctl/connect/input_format.hpp"
#include "wsd-ctl/connect/line_editor.hpp"
#include "wsserver/base/descriptor.hpp"

namespace wsd::ctl {

/// Reads a terminal without its line discipline, which cuts lines at 4095 bytes, and edits the line itself. Ctrl-C
/// still interrupts.
class TypedInput final : public InputFormat {
   public:
    /// Null if `in` is not a terminal that can move its cursor. `in` must stay open.
    static std::unique_ptr<TypedInput> open(int in);
    ~TypedInput() override;
    TypedInput(const TypedInput&) = delete;
    TypedInput& operator=(const TypedInput&) = delete;

    void take(std::string_view bytes, std::vector<std::string>& messages) override;
    void finish(std::vector<std::string>& messages) override;
    std::size_t pending() const override { return editor_.line().size(); }
    bool ended() const override { return editor_.ended(); }

    /// Calls `print` while the typed line is hidden. From any thread.
    void print_above(const std::function<void()>& print);
    /// Gives the terminal back as it was. No line is shown after that. From any thread.
    void restore();

   private:
    TypedInput(int in, wsserver::Descriptor screen, const termios& before);

    void write(std::string_view text) const;
    std::size_t columns() const;

    const int in_;
    const wsserver::Descriptor screen_;
    const termios before_;
    std::mutex mutex_{};
    LineEditor editor_{};    ///< guarded by mutex_; pending() and ended() are called on the thread of take()
    bool restored_ = false;  ///< guarded by mutex_
};

/// A stream whose flushes print above a typed line.
class StreamAbove final : private std::stringbuf, public std::ostream {
   public:
    /// Both must outlive this.
    StreamAbove(TypedInput& input, std::ostream& to) : std::ostream(this), input_(input), to_(to) {}

   private:
    int sync() override;

    TypedInput& input_;
    std::ostream& to_;
};

}  // namespace wsd::ctl
