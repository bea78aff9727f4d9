#include "wsd/pid_file.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <filesystem>
#include <optional>
#include <string_view>
#include <system_error>

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

/// True if the path still leads to the open file. Its previous owner may just have removed it.
bool is_still_there(const std::string& path, int descriptor) {
    struct stat named {};
    struct stat opened {};
    return ::fstat(descriptor, &opened) == 0 && ::lstat(path.c_str(), &named) == 0 && named.st_dev == opened.st_dev &&
           named.st_ino == opened.st_ino;
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

Result<void, std::string> write_number(const std::string& path, int descriptor) {
    const auto number = fmt::format("{}\n", ::getpid());
    const bool written = ::ftruncate(descriptor, 0) == 0 &&
                         ::pwrite(descriptor, number.data(), number.size(), 0) == static_cast<ssize_t>(number.size());
    if (written) return {};
    return Unexpected{fmt::format("the pid file {} cannot be written: {}", path, reason(errno))};
}

/// An open, locked file, or nothing if its owner removed it between the two steps.
Result<std::optional<Descriptor>, std::string> open_and_lock(const std::string& path) {
    // Links are not followed: in a folder that others may write to, a link could lead to any file of this user.
    Descriptor file{::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0644)};
    if (!file) {
        const int error = errno;
        return Unexpected{
            fmt::format("the pid file {} cannot be opened: {}; name another with --pid-file, or '' for none", path,
                        error == ELOOP ? "it is a symbolic link" : reason(error))};
    }
    struct stat status {};
    if (::fstat(file.get(), &status) != 0 || !S_ISREG(status.st_mode)) {
        return Unexpected{fmt::format("the pid file {} is not a regular file", path)};
    }
    if (::flock(file.get(), LOCK_EX | LOCK_NB) != 0) {
        const auto process = process_in(file.get());
        return Unexpected{fmt::format(
            "another wsd is running already{}: it holds the pid file {}; stop it, or name another file with --pid-file",
            process.empty() ? "" : ", process " + process, path)};
    }
    if (!is_still_there(path, file.get())) return std::optional<Descriptor>{};
    return std::optional{std::move(file)};
}

}  // namespace

Result<PidFile, std::string> PidFile::take(const std::string& path) {
    if (auto made = make_folder(path); !made) return Unexpected{made.error()};
    for (;;) {
        auto file = open_and_lock(path);
        if (!file) return Unexpected{file.error()};
        if (!file->has_value()) continue;
        if (auto written = write_number(path, (*file)->get()); !written) return Unexpected{written.error()};
        return PidFile{path, *std::move(*file)};
    }
}

PidFile::PidFile(std::string path, Descriptor descriptor)
    : path_(std::move(path)), descriptor_(std::move(descriptor)) {}

PidFile::~PidFile() {
    if (descriptor_ && is_still_there(path_, descriptor_.get())) ::unlink(path_.c_str());
}

}  // namespace wsd
