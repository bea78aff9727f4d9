// All bodies of this floor: RFC 6455 §5 to §8, without I/O.
#pragma once

#include "wsserver/protocol/impl/error.ipp"
#include "wsserver/protocol/impl/event_text.ipp"
#include "wsserver/protocol/impl/rfc6455.ipp"
