// Standard input, output and error, which whoever starts a program may have closed.
#pragma once

#include <fcntl.h>
#include <unistd.h>

#include <initializer_list>

namespace wsd {

/// Gives each one that is closed to /dev/null. Else the next thing to be opened gets its number, and what is meant for
/// the stream goes to a client or into a file. Before anything is opened.
inline void open_standard_streams() {
    for (const int stream : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
        if (::fcntl(stream, F_GETFD) < 0) static_cast<void>(::open("/dev/null", O_RDWR));  // the lowest that is free
    }
}

}  // namespace wsd
