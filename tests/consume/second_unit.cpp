// The other unit of that program. It includes headers; src.hpp only to show that two units must not.
#include <wsserver/protocol/frame.hpp>
#ifdef SRC_IN_BOTH_UNITS
#include <wsserver/protocol/src.hpp>
#endif

#include <cstddef>

std::size_t size_of_ping();

std::size_t size_of_ping() {
    wsserver::OutputBuffer output;
    wsserver::append_frame(output, {.opcode = wsserver::Opcode::ping}, {});
    return output.size();
}
