// All bodies of this floor. Handlers by name, and those of shared objects.
#pragma once

#include "wsserver/handler/impl/handlers.ipp"
#include "wsserver/handler/impl/shared_library.ipp"
#include "wsserver/handler/impl/shared_object.ipp"
#include "wsserver/handler/impl/shared_object_host.ipp"
