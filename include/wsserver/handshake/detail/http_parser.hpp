// Adapts Beast's parser of HTTP/1 to HttpRequest and HttpResponse. Only bodies of this floor include it.
#pragma once

#include <boost/beast/http/basic_parser.hpp>
#include <limits>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

#include "wsserver/handshake/http.hpp"

namespace wsserver {

/// Parses one complete header, which HeadReader collected within its limits. Does not parse bodies.
template <class Message>
class HttpParser : private boost::beast::http::basic_parser<std::is_same_v<Message, HttpRequest>> {
    static constexpr bool is_request = std::is_same_v<Message, HttpRequest>;
    using Base = boost::beast::http::basic_parser<is_request>;
    using Error = boost::beast::error_code;
    using View = boost::beast::string_view;

   public:
    /// Parses into `reused`, whose texts are replaced and whose memory is kept.
    explicit HttpParser(Message reused = {}) : message_(std::move(reused)) {
        this->header_limit(std::numeric_limits<std::uint32_t>::max());
        this->skip(true);
    }

    /// Parses `head`. Returns Beast's error message, or an empty string. May be called once.
    std::string parse(std::string_view head) {
        Error error;
        const auto taken = this->put({head.data(), head.size()}, error);
        message_.fields.resize(fields_);
        if (!error && taken != head.size()) return "bytes after the header";
        return error ? error.message() : std::string{};
    }

    Message& message() noexcept { return message_; }
    unsigned version() const noexcept { return version_; }  ///< 10 or 11
    using Base::chunked;
    using Base::content_length;

   private:
    void on_request_impl(boost::beast::http::verb, View method, View target, int version, Error&) override {
        version_ = static_cast<unsigned>(version);
        if constexpr (is_request) {
            message_.method.assign(method.data(), method.size());
            message_.target.assign(target.data(), target.size());
            message_.version = version_;
        }
    }
    void on_response_impl(int status, View, int version, Error&) override {
        version_ = static_cast<unsigned>(version);
        if constexpr (!is_request) message_.status = static_cast<unsigned>(status);
    }
    void on_field_impl(boost::beast::http::field, View name, View value, Error&) override {
        if (fields_ == message_.fields.size()) message_.fields.emplace_back();
        HttpField& field = message_.fields[fields_++];
        field.name.assign(name.data(), name.size());
        field.value.assign(value.data(), value.size());
    }
    void on_header_impl(Error&) override {}
    void on_body_init_impl(const boost::optional<std::uint64_t>&, Error&) override {}
    std::size_t on_body_impl(View part, Error&) override { return part.size(); }
    void on_chunk_header_impl(std::uint64_t, View, Error&) override {}
    std::size_t on_chunk_body_impl(std::uint64_t, View part, Error&) override { return part.size(); }
    void on_finish_impl(Error&) override {}

    Message message_;
    std::size_t fields_ = 0;
    unsigned version_ = 0;
};

using RequestParser = HttpParser<HttpRequest>;
using ResponseParser = HttpParser<HttpResponse>;

}  // namespace wsserver
