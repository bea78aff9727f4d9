// All that programs with a server or a client in them need.
#pragma once

#include "wsserver/base/cpp20.hpp"

#include "wsserver/awaitable_client.hpp"
#include "wsserver/client.hpp"
#include "wsserver/handler/handlers.hpp"
#include "wsserver/server.hpp"
