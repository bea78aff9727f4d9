// All bodies of this floor: reactors, handlers and workers.
#pragma once

#include "wsserver/server/impl/admission_control.ipp"
#include "wsserver/server/impl/callback_gate.ipp"
#include "wsserver/server/impl/group_table.ipp"
#include "wsserver/server/impl/handler_workers.ipp"
#include "wsserver/server/impl/memory_limit.ipp"
#include "wsserver/server/impl/pooled_handler.ipp"
#include "wsserver/server/impl/program_callbacks.ipp"
#include "wsserver/server/impl/reactor_groups.ipp"
#include "wsserver/server/impl/reactor_queries.ipp"
#include "wsserver/server/impl/reactor_watch.ipp"
#include "wsserver/server/impl/reactors.ipp"
#include "wsserver/server/impl/server.ipp"
#include "wsserver/server/impl/server_hub.ipp"
#include "wsserver/server/impl/server_impl.ipp"
#include "wsserver/server/impl/server_listeners.ipp"
#include "wsserver/server/impl/substitute.ipp"
