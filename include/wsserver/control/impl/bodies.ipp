// All bodies of this floor. Commands, spool and observer.
#pragma once

#include "wsserver/control/impl/command.ipp"
#include "wsserver/control/impl/command_table.ipp"
#include "wsserver/control/impl/control_lines.ipp"
#include "wsserver/control/impl/json.ipp"
#include "wsserver/control/impl/observer.ipp"
#include "wsserver/control/impl/report_format.ipp"
#include "wsserver/control/impl/server_control.ipp"
#include "wsserver/control/impl/spool.ipp"
#include "wsserver/control/impl/spool_disk.ipp"
#include "wsserver/control/impl/spool_folders.ipp"
#include "wsserver/control/impl/spool_marks.ipp"
#include "wsserver/control/impl/spool_queue.ipp"
#include "wsserver/control/impl/spool_rules.ipp"
#include "wsserver/control/impl/spool_shelf.ipp"
#include "wsserver/control/impl/spool_watch.ipp"
#include "wsserver/control/impl/text_format.ipp"
