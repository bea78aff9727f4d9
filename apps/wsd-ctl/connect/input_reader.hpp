// Reads messages from a descriptor of any kind (terminal, pipe, file) on its own thread.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "wsd-ctl/connect/input_format.hpp"
#include "wsserver/base/descriptor.hpp"

namespace wsd::ctl {

/// Reads one piece at a time, and the next one only when more() asks for it, so a slow consumer is not flooded.
class InputReader {
   public:
    struct Messages {
        std::vector<std::string> messages{};
        bool end = false;     ///< no more messages follow
        bool cut = false;     ///< a terminal may have cut a line of them
        std::string error{};  ///< why reading ended, if not at the end of the input
    };
    /// Called on the reader's thread.
    using Take = std::function<void(Messages)>;

    /// `in` is not closed, and stays blocking or non-blocking. `format` must outlive the reader, whose thread uses it.
    /// `by_line`: `in` is a terminal that edits lines itself.
    InputReader(int in, bool by_line, InputFormat& format, Take take);
    /// Returns at once, even while the thread waits for input.
    ~InputReader();
    InputReader(const InputReader&) = delete;
    InputReader& operator=(const InputReader&) = delete;

    /// Asks for the next messages. Has no effect while an earlier request is unanswered. From any thread.
    void more();

   private:
    void run(std::stop_token stop);
    bool wait_until_asked(std::stop_token stop);
    Messages read_some();

    const int in_;
    const bool by_line_;
    CutLines lines_{};
    bool cut_ = false;  ///< to be told with the next messages
    InputFormat& format_;
    const Take take_;
    wsserver::Descriptor wake_;

    std::mutex mutex_{};
    std::condition_variable_any changed_{};
    bool asked_ = false;  ///< guarded by mutex_
    std::jthread thread_;
};

}  // namespace wsd::ctl
