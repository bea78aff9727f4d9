// Keeps the program's signals away from the threads of the library.
#pragma once

#include <pthread.h>
#include <signal.h>

#include <initializer_list>

namespace wsserver::detail {

/// Blocks signals while threads are started, which inherit the mask: signals are for the program's own threads. The
/// signals that a thread raises by a fault of its own stay unblocked.
class SignalsBlocked {
   public:
    SignalsBlocked() noexcept {
        sigset_t blocked;
        sigfillset(&blocked);
        for (const int fault : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGABRT, SIGSYS, SIGPROF}) {
            sigdelset(&blocked, fault);
        }
        pthread_sigmask(SIG_BLOCK, &blocked, &before_);
    }
    SignalsBlocked(const SignalsBlocked&) = delete;
    SignalsBlocked& operator=(const SignalsBlocked&) = delete;
    ~SignalsBlocked() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }

   private:
    sigset_t before_;
};

}  // namespace wsserver::detail
