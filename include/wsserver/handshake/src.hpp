// The bodies of this floor and of those below it. They need Beast's headers and OpenSSL's libcrypto.
#pragma once

#include "wsserver/base/src.hpp"

#include "wsserver/handshake/impl/bodies.ipp"
#include "wsserver/protocol/src.hpp"
