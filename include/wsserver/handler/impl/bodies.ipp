// All bodies of this floor: handlers by name, and handlers from shared objects.
#pragma once

#include "wsserver/handler/impl/handler_trial.ipp"
#include "wsserver/handler/impl/handlers.ipp"
#include "wsserver/handler/impl/replaceable_handler.ipp"
#include "wsserver/handler/impl/script_frame.ipp"
#include "wsserver/handler/impl/script_handler.ipp"
#include "wsserver/handler/impl/script_process.ipp"
#include "wsserver/handler/impl/script_requests.ipp"
#include "wsserver/handler/impl/script_worker.ipp"
#include "wsserver/handler/impl/shared_library.ipp"
#include "wsserver/handler/impl/shared_object.ipp"
#include "wsserver/handler/impl/shared_object_host.ipp"
#include "wsserver/handler/impl/trusted_file.ipp"
