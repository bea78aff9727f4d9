// Reads lines from a descriptor of any kind - terminal, pipe, file - on a thread of its own.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "wsserver/base/descriptor.hpp"

namespace wsd::ctl {

/// Reads a piece at a time, and the next one only when it is asked to: whoever can't keep up isn't flooded.
class LineReader {
   public:
    struct Lines {
        std::vector<std::string> lines{};  ///< without their newlines; the last one of all may have had none
        bool end = false;                  ///< nothing more follows
        std::string error{};               ///< why it ended, if not because there was no more
    };
    /// Called on the reader's thread.
    using Take = std::function<void(Lines)>;

    /// `in` is not closed, and stays as blocking as it was.
    LineReader(int in, std::size_t max_line, Take take);
    /// Returns at once, also while it waits for somebody to type.
    ~LineReader();
    LineReader(const LineReader&) = delete;
    LineReader& operator=(const LineReader&) = delete;

    /// Asks for the next lines; before the last ones have come it has no effect. From any thread.
    void more();

   private:
    void run(std::stop_token stop);
    bool wait_until_asked(std::stop_token stop);
    Lines read_some();

    const int in_;
    const std::size_t max_line_;
    const Take take_;
    std::string rest_{};
    wsserver::Descriptor wake_;

    std::mutex mutex_{};
    std::condition_variable_any changed_{};
    bool asked_ = false;  ///< guarded by mutex_
    std::jthread thread_;
};

}  // namespace wsd::ctl
