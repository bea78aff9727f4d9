#pragma once

#include "wsserver/protocol/rfc6455.hpp"

#include <ostream>
#include <string>

namespace wsserver {

std::ostream& operator<<(std::ostream& out, CloseCode code) {
    return out << std::to_string(static_cast<std::uint16_t>(code));
}

}  // namespace wsserver
