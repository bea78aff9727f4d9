#include "wsd/pid_file.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <filesystem>
#include <string_view>
#include <system_error>
#include <utility>

#include "wsd/file_trouble.hpp"
#include "wsserver/control/file_lock.hpp"

namespace wsd {

namespace {

using wsserver::Descriptor;
using wsserver::Result;
using wsserver::Unexpected;

constexpr mode_t pid_file_mode = 0644;  // scripts read it

/// The process id in the file; empty if it contains none.
std::string process_in(int descriptor) {
    std::array<char, 16> text{};
    const auto size = ::pread(descriptor, text.data(), text.size(), 0);
    std::string_view number{text.data(), size > 0 ? static_cast<std::size_t>(size) : 0};
    number = number.substr(0, number.find_first_not_of("0123456789"));
    return std::string{number};
}

/// Why there is no locked file.
struct NotTaken {
    std::string text;
    std::error_code error{};  ///< of the operating system
};

Unexpected<NotTaken> not_taken(std::string text, std::error_code error = {}) {
    return Unexpected{NotTaken{std::move(text), error}};
}

Result<void, NotTaken> make_folder(const std::string& path) {
    std::error_code error;
    const auto folder = std::filesystem::path{path}.parent_path();
    if (folder.empty() || std::filesystem::is_directory(folder, error)) return {};
    std::filesystem::create_directories(folder, error);
    if (!error) return {};
    return not_taken(
        fmt::format("the folder {} of the pid file cannot be created: {}", folder.string(), error.message()), error);
}

Unexpected<NotTaken> in_use(const std::string& path) {
    const Descriptor file{::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK)};
    const auto process = process_in(file.get());
    return not_taken(fmt::format(
        "another wsd is running already{}: it holds the pid file {}; stop it, or name another file with --pid-file",
        process.empty() ? "" : ", process " + process, path));
}

/// Links are not followed: in a folder that others may write to, a link could lead to any file of this user.
Result<Descriptor, NotTaken> open_and_lock(const std::string& path) {
    if (const auto made = make_folder(path); !made) return Unexpected{made.error()};
    auto file = wsserver::lock_file(AT_FDCWD, path);
    if (file) return *std::move(file);
    const auto error = file.error();
    if (error == std::errc::resource_unavailable_try_again) return in_use(path);
    if (error == std::errc::invalid_argument) {
        return not_taken(fmt::format("the pid file {} is not a regular file", path));
    }
    return not_taken(
        fmt::format("the pid file {} cannot be opened: {}", path,
                    error == std::errc::too_many_symbolic_link_levels ? "it is a symbolic link" : error.message()),
        error);
}

}  // namespace

Result<PidFile, std::string> PidFile::take(const std::string& path) {
    PidFile taken{path};
    auto file = open_and_lock(path);
    if (file) {
        taken.descriptor_ = *std::move(file);
        taken.write_number();
    } else if (is_full_disk(file.error().error)) {
        taken.missing_ = file.error().text + "; a reload tries again";
    } else {
        const auto* const advice = file.error().error ? "; name another file with --pid-file, or '' for none" : "";
        return Unexpected{file.error().text + advice};
    }
    return taken;
}

bool PidFile::complete() {
    if (missing_.empty()) return true;
    if (!descriptor_) {
        auto file = open_and_lock(path_);
        if (!file) {
            missing_ = file.error().text + how_to_permit(path_, file.error().error, pid_file_mode);
            return false;
        }
        descriptor_ = *std::move(file);
    }
    write_number();
    return missing_.empty();
}

/// If it fails the file is empty: a part of the number, or the number of a daemon that has ended, would name another
/// process.
void PidFile::write_number() {
    ::fchmod(descriptor_.get(), pid_file_mode);
    const auto number = fmt::format("{}\n", ::getpid());
    errno = ENOSPC;  // a short write sets none
    const bool written =
        ::ftruncate(descriptor_.get(), 0) == 0 &&
        ::pwrite(descriptor_.get(), number.data(), number.size(), 0) == static_cast<ssize_t>(number.size());
    missing_.clear();
    if (written) return;
    missing_ = fmt::format("the pid file {} is locked, but the process id cannot be written: {}; a reload tries again",
                           path_, std::generic_category().message(errno));
    static_cast<void>(::ftruncate(descriptor_.get(), 0));
}

PidFile::~PidFile() {
    if (descriptor_ && wsserver::is_in_place(AT_FDCWD, path_, descriptor_.get())) ::unlink(path_.c_str());
}

}  // namespace wsd
