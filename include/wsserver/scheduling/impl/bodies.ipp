// The bodies of this floor: tasks, their queue, the workers, and calls of foreign code.
#pragma once

#include "wsserver/scheduling/impl/foreign_calls.ipp"
#include "wsserver/scheduling/impl/priority_task_queue.ipp"
#include "wsserver/scheduling/impl/task.ipp"
#include "wsserver/scheduling/impl/worker_pool.ipp"
