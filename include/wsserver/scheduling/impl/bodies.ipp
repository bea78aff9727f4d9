// The bodies of this floor: tasks, their queue and the workers.
#pragma once

#include "wsserver/scheduling/impl/priority_task_queue.ipp"
#include "wsserver/scheduling/impl/task.ipp"
#include "wsserver/scheduling/impl/worker_pool.ipp"
