// Bytes as text: in hexadecimal, as a hex dump, in base64.
#pragma once

#include <string>

#include "wsserver/base/bytes.hpp"

namespace wsd::ctl {

/// `00ff7a`
std::string hexadecimal(wsserver::Bytes bytes);

/// A line for each 16 bytes, as `hexdump -C` writes it: the offset, the bytes in hexadecimal, and the bytes as ASCII
/// with a dot for all that ASCII cannot print. Empty for no bytes.
std::string hex_dump(wsserver::Bytes bytes);

/// RFC 4648 §4, with padding.
std::string base64(wsserver::Bytes bytes);

}  // namespace wsd::ctl
