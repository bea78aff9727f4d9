// Everything that a program with a server or a client needs.
#pragma once

#include "wsserver/base/cpp20.hpp"

#include "wsserver/awaitable_client.hpp"
#include "wsserver/client.hpp"
#include "wsserver/handler/handlers.hpp"
#include "wsserver/relay.hpp"
#include "wsserver/server.hpp"
