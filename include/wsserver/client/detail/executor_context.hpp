// The io_context of an executor.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/query.hpp>
#include <boost/asio/require.hpp>
#include <boost/asio/strand.hpp>
#include <stdexcept>
#include <utility>

namespace wsserver {

/// If `executor` holds an `E` or a strand of one, calls `f` with that `E`.
template <class E, class F>
void with_target(const boost::asio::any_io_executor& executor, F&& f) {
    if (const E* target = executor.target<E>()) f(*target);
    if (const auto* strand = executor.target<boost::asio::strand<E>>()) f(strand->get_inner_executor());
}

/// The io_context of `executor`, or null.
inline boost::asio::io_context* find_context(const boost::asio::any_io_executor& executor) {
    using boost::asio::io_context;
    using Untracked = io_context::executor_type;
    using Tracked = decltype(boost::asio::require(std::declval<const Untracked&>(),
                                                  boost::asio::execution::outstanding_work.tracked));
    io_context* found = nullptr;
    const auto of_context = [&](const auto& target) {
        found = &boost::asio::query(target, boost::asio::execution::context);
    };
    with_target<Untracked>(executor, of_context);
    with_target<Tracked>(executor, of_context);
    if (const auto* strand = executor.target<boost::asio::strand<boost::asio::any_io_executor>>()) {
        found = find_context(strand->get_inner_executor());
    }
    return found;
}

/// The io_context of `executor`. Throws std::invalid_argument if it is an executor of something else.
inline boost::asio::io_context& context_of(const boost::asio::any_io_executor& executor) {
    if (boost::asio::io_context* context = find_context(executor)) return *context;
    throw std::invalid_argument("a client needs an executor of an io_context, or a strand of one");
}

}  // namespace wsserver
