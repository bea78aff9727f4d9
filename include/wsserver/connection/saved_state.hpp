// What the code of a handler leaves to the code that replaces it.
#pragma once

#include "wsserver/base/cpp20.hpp"

#include <cstdint>
#include <string>

namespace wsserver {

/// Bytes in a format of the handler's own. They pass from one version of its code to the next one, so they must not
/// contain pointers.
struct SavedState {
    std::uint32_t version = 0;  ///< of the format, as the handler numbers it; 0 if nothing was saved
    std::string bytes{};        ///< what was saved
};

}  // namespace wsserver
