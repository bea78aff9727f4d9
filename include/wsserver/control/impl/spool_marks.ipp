#pragma once

#include "wsserver/control/detail/spool_marks.hpp"

#include <algorithm>
#include <array>
#include <utility>

#include "wsserver/control/spool.hpp"

namespace wsserver {

namespace {

constexpr std::array<std::pair<SpoolMark, std::string_view>, 4> marks{
    {{SpoolMark::taken, ""}, {SpoolMark::first, "~1"}, {SpoolMark::second, "~2"}, {SpoolMark::done, "~done"}}};
constexpr std::string_view reserved_mark = "~reserved";
constexpr std::string_view answer_mark = "~answer";

}  // namespace

std::string marked_name(const std::string& name, SpoolMark mark) {
    return name + std::string{marks[static_cast<std::size_t>(mark)].second};
}
std::string reserved_name(const std::string& name) { return name + std::string{reserved_mark}; }
std::string answer_name(const std::string& name) { return name + std::string{answer_mark}; }
std::string refused_name(const std::string& name) { return name + "~refused"; }

void add_trace(SpoolTraceMap& traces, std::string_view file) {
    const auto name = file.substr(0, file.find('~'));
    const auto mark = file.substr(name.size());
    if (mark == reserved_mark && is_command_file_name(name)) {
        traces[std::string{name}].reserved = true;
        return;
    }
    if (mark == answer_mark && is_command_file_name(name)) {
        traces[std::string{name}].answer = true;
        return;
    }
    const auto* const known =
        std::find_if(marks.begin(), marks.end(), [mark](const auto& entry) { return entry.second == mark; });
    const bool is_ours = known != marks.end() && is_command_file_name(name);
    auto& trace = traces[std::string{is_ours ? name : file}].mark;
    trace = std::max(trace.value_or(SpoolMark::taken), is_ours ? known->first : SpoolMark::taken);
}

}  // namespace wsserver
