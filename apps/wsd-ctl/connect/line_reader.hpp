// Reads lines from a descriptor of any kind (terminal, pipe, file) on its own thread.
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

/// Reads one piece at a time, and the next one only when more() asks for it, so a slow consumer is not flooded.
class LineReader {
   public:
    struct Lines {
        std::vector<std::string> lines{};  ///< without newlines; the last line may have had none
        bool end = false;                  ///< no more lines follow
        std::string error{};               ///< why reading ended, if not at the end of the input
    };
    /// Called on the reader's thread.
    using Take = std::function<void(Lines)>;

    /// `in` is not closed, and stays blocking or non-blocking.
    LineReader(int in, std::size_t max_line, Take take);
    /// Returns at once, even while the thread waits for input.
    ~LineReader();
    LineReader(const LineReader&) = delete;
    LineReader& operator=(const LineReader&) = delete;

    /// Asks for the next lines. Has no effect while an earlier request is unanswered. From any thread.
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
