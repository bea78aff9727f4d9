// All bodies of this floor.
#pragma once

#include "wsserver/connection/impl/connection_info.ipp"
#include "wsserver/connection/impl/handler_chooser.ipp"
#include "wsserver/connection/impl/handler_table.ipp"
#include "wsserver/connection/impl/http_date.ipp"
#include "wsserver/connection/impl/http_exchange.ipp"
#include "wsserver/connection/impl/http_routes.ipp"
#include "wsserver/connection/impl/http_ticket.ipp"
#include "wsserver/connection/impl/kept_fields.ipp"
#include "wsserver/connection/impl/room_directory.ipp"
#include "wsserver/connection/impl/rooms.ipp"
#include "wsserver/connection/impl/send_queue.ipp"
#include "wsserver/connection/impl/server_handlers.ipp"
#include "wsserver/connection/impl/upgrade_hook.ipp"
