// The Date field of responses (RFC 9110 §6.6.1).
#pragma once

#include "wsserver/base/cpp20.hpp"

#include <array>
#include <chrono>
#include <string>
#include <string_view>

namespace wsserver {

/// `time` as header fields have it: `Sun, 06 Nov 1994 08:49:37 GMT`. Of a year, the last four digits are written.
/// RFC 9110 §5.6.7
std::string http_date(std::chrono::sys_seconds time);

/// The value of the Date field for the responses of one thread. Writes each second once.
class DateField {
   public:
    /// http_date(now). Valid until the next call.
    std::string_view at(std::chrono::sys_seconds now) noexcept;

   private:
    std::chrono::sys_seconds written_{};
    std::array<char, 29> text_{'T', 'h', 'u', ',', ' ', '0', '1', ' ', 'J', 'a', 'n', ' ', '1', '9', '7',
                               '0', ' ', '0', '0', ':', '0', '0', ':', '0', '0', ' ', 'G', 'M', 'T'};  ///< `written_`
};

}  // namespace wsserver
