// All bodies of this floor: the opening handshake (RFC 6455 §4), without I/O.
#pragma once

#include "wsserver/handshake/impl/handshake.ipp"
#include "wsserver/handshake/impl/handshake_client.ipp"
#include "wsserver/handshake/impl/handshake_server.ipp"
#include "wsserver/handshake/impl/http_body.ipp"
#include "wsserver/handshake/impl/http_text.ipp"
#include "wsserver/handshake/impl/http_values.ipp"
#include "wsserver/handshake/impl/ip_address.ipp"
#include "wsserver/handshake/impl/origin.ipp"
#include "wsserver/handshake/impl/path_pattern.ipp"
#include "wsserver/handshake/impl/proxies.ipp"
#include "wsserver/handshake/impl/proxy_protocol.ipp"
#include "wsserver/handshake/impl/url.ipp"
