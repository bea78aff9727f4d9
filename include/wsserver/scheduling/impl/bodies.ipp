// All bodies of this floor. Tasks, workers and timers.
#pragma once

#include "wsserver/scheduling/impl/priority_task_queue.ipp"
#include "wsserver/scheduling/impl/task.ipp"
#include "wsserver/scheduling/impl/worker_pool.ipp"
