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

#include "wsserver/control/file_lock.hpp"

namespace wsd {

namespace {

using wsserver::Descriptor;
using wsserver::Result;
using wsserver::Unexpected;

std::string reason(int error) { return std::generic_category().message(error); }

/// The process id in the file; empty if it contains none.
std::string process_in(int descriptor) {
    std::array<char, 16> text{};
    const auto size = ::pread(descriptor, text.data(), text.size(), 0);
    std::string_view number{text.data(), size > 0 ? static_cast<std::size_t>(size) : 0};
    number = number.substr(0, number.find_first_not_of("0123456789"));
    return std::string{number};
}

Result<void, std::string> make_folder(const std::string& path) {
    std::error_code error;
    const auto folder = std::filesystem::path{path}.parent_path();
    if (folder.empty() || std::filesystem::is_directory(folder, error)) return {};
    std::filesystem::create_directories(folder, error);
    if (!error) return {};
    return Unexpected{fmt::format(
        "the folder {} of the pid file cannot be created: {}; name another file with --pid-file, or '' for none",
        folder.string(), error.message())};
}

/// Returns why it failed; an empty text if it did not. Then the file is empty: a part of the number, or the number of a
/// daemon that has ended, would name another process.
std::string write_number(const std::string& path, int descriptor) {
    const auto number = fmt::format("{}\n", ::getpid());
    errno = ENOSPC;  // a short write sets none
    const bool written = ::ftruncate(descriptor, 0) == 0 &&
                         ::pwrite(descriptor, number.data(), number.size(), 0) == static_cast<ssize_t>(number.size());
    if (written) return {};
    const int error = errno;
    static_cast<void>(::ftruncate(descriptor, 0));
    return fmt::format("the pid file {} is locked, but the process id cannot be written: {}", path, reason(error));
}

Unexpected<std::string> in_use(const std::string& path) {
    const Descriptor file{::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK)};
    const auto process = process_in(file.get());
    return Unexpected{fmt::format(
        "another wsd is running already{}: it holds the pid file {}; stop it, or name another file with --pid-file",
        process.empty() ? "" : ", process " + process, path)};
}

/// Links are not followed: in a folder that others may write to, a link could lead to any file of this user.
Result<Descriptor, std::string> open_and_lock(const std::string& path) {
    auto file = wsserver::lock_file(AT_FDCWD, path);
    if (file) return *std::move(file);
    const auto error = file.error();
    if (error == std::errc::resource_unavailable_try_again) return in_use(path);
    if (error == std::errc::invalid_argument) {
        return Unexpected{fmt::format("the pid file {} is not a regular file", path)};
    }
    return Unexpected{
        fmt::format("the pid file {} cannot be opened: {}; name another with --pid-file, or '' for none", path,
                    error == std::errc::too_many_symbolic_link_levels ? "it is a symbolic link" : error.message())};
}

}  // namespace

Result<PidFile, std::string> PidFile::take(const std::string& path) {
    if (auto made = make_folder(path); !made) return Unexpected{made.error()};
    auto file = open_and_lock(path);
    if (!file) return Unexpected{file.error()};
    auto unwritten = write_number(path, file->get());
    ::fchmod(file->get(), 0644);  // scripts read it
    return PidFile{path, *std::move(file), std::move(unwritten)};
}

PidFile::PidFile(std::string path, Descriptor descriptor, std::string unwritten)
    : path_(std::move(path)), descriptor_(std::move(descriptor)), unwritten_(std::move(unwritten)) {}

PidFile::~PidFile() {
    if (descriptor_ && wsserver::is_in_place(AT_FDCWD, path_, descriptor_.get())) ::unlink(path_.c_str());
}

}  // namespace wsd
