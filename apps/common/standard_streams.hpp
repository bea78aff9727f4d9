// Standard input, output and error, which the parent process may have closed.
#pragma once

#include <fcntl.h>
#include <unistd.h>

#include <initializer_list>

namespace wsd {

/// Opens /dev/null for each closed stream. Otherwise the next open() would get the number of the stream, and output for
/// the stream would go to a client or into a file. Call it before anything is opened.
inline void open_standard_streams() {
    for (const int stream : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
        if (::fcntl(stream, F_GETFD) < 0)
            static_cast<void>(::open("/dev/null", O_RDWR));  // gets the lowest free number
    }
}

}  // namespace wsd
