#include "wsd/check_places.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <system_error>

namespace wsd {

namespace {

namespace fs = std::filesystem;

/// Why no folder can be created in `folder`; empty if one can, or if only this user may not.
std::string why_nothing_in(const fs::path& folder) {
    std::string trial = folder / ".wsd-check-XXXXXX";
    if (::mkdtemp(trial.data()) != nullptr) {
        ::rmdir(trial.c_str());
        return {};
    }
    return errno == EACCES ? std::string{} : std::generic_category().message(errno);
}

std::string why_no_log_file(const fs::path& file) {
    std::error_code ignored;
    const auto folder = fs::absolute(file).parent_path();
    if (fs::is_directory(file, ignored)) return "it is a folder";
    if (fs::is_directory(folder, ignored)) return {};
    return fmt::format("{} is not a folder: create it", folder.string());
}

std::string why_no_spool(const fs::path& spool) {
    std::error_code ignored;
    auto there = fs::absolute(spool);
    while (!fs::exists(fs::symlink_status(there, ignored))) there = there.parent_path();
    if (!fs::is_directory(there, ignored)) return fmt::format("{} is not a folder", there.string());
    const auto why = why_nothing_in(there);
    return why.empty() ? why : fmt::format("nothing can be created in {}: {}", there.string(), why);
}

}  // namespace

ConfigErrors unusable_places(const Config& config) {
    ConfigErrors errors;
    const auto check = [&](std::string_view key, const std::string& path, std::string (*why_not)(const fs::path&)) {
        if (path.empty()) return;
        if (const auto why = why_not(path); !why.empty()) {
            errors.push_back(fmt::format("{} ({}): {}: {}", key, config.source(key), path, why));
        }
    };
    check("log.file", config.log.file, why_no_log_file);
    check("spool.dir", config.spool.dir, why_no_spool);
    return errors;
}

}  // namespace wsd
