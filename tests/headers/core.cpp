// The core (floors 0 to 3) does no I/O: whoever includes it sees no socket, thread, clock or random device.
#include "wsserver/assembly.hpp"
#include "wsserver/bytes.hpp"
#include "wsserver/encode.hpp"
#include "wsserver/error.hpp"
#include "wsserver/frame.hpp"
#include "wsserver/handshake.hpp"
#include "wsserver/mask.hpp"
#include "wsserver/message.hpp"
#include "wsserver/output.hpp"
#include "wsserver/protocol.hpp"
#include "wsserver/result.hpp"
#include "wsserver/rfc6455.hpp"
#include "wsserver/url.hpp"
#include "wsserver/utf8.hpp"

#if defined(BOOST_CONFIG_HPP) || defined(BOOST_ASIO_DETAIL_CONFIG_HPP) || defined(BOOST_BEAST_CORE_DETAIL_CONFIG_HPP)
#error "Boost has become visible in the core"
#endif
#if defined(_SYS_SOCKET_H) || defined(_NETINET_IN_H) || defined(_SYS_EPOLL_H) || defined(_POLL_H)
#error "sockets have become visible in the core"
#endif
#if defined(_GLIBCXX_THREAD) || defined(_GLIBCXX_MUTEX) || defined(_GLIBCXX_CONDITION_VARIABLE)
#error "threads have become visible in the core"
#endif
#if defined(_GLIBCXX_CHRONO) || defined(_GLIBCXX_RANDOM) || defined(_GLIBCXX_IOSTREAM) || defined(_GLIBCXX_FSTREAM)
#error "clocks, random devices or streams have become visible in the core"
#endif
