// The body of Descriptor, apart from its header because of a system header.
#pragma once

#include "wsserver/base/descriptor.hpp"

#include <unistd.h>

namespace wsserver {

void Descriptor::reset(int number) noexcept {
    const int old = std::exchange(number_, number);
    if (old >= 0) ::close(old);
}

}  // namespace wsserver
