#pragma once

#include "wsserver/handler/detail/shared_library.hpp"

#include <dlfcn.h>
#include <elf.h>
#include <fcntl.h>
#include <link.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <system_error>
#include <utility>
#include <vector>

#include "wsserver/base/bytes.hpp"
#include "wsserver/handler/detail/trusted_file.hpp"

namespace wsserver {
namespace {

using Content = std::vector<std::uint8_t>;
using Problem = Unexpected<std::string>;

Problem system_problem(const char* what) {
    const int error = errno;
    return Problem{what + (": " + std::system_category().message(error))};
}

bool is_same_state(const struct stat& a, const struct stat& b) {
    return a.st_size == b.st_size && a.st_mtim.tv_sec == b.st_mtim.tv_sec && a.st_mtim.tv_nsec == b.st_mtim.tv_nsec;
}

Result<Content, std::string> read_all(int file, std::size_t size) {
    Content content(size);
    std::size_t filled = 0;
    while (filled < size) {
        const auto count = ::read(file, content.data() + filled, size - filled);
        if (count < 0 && errno == EINTR) continue;
        if (count < 0) return system_problem("it cannot be read");
        if (count == 0) break;
        filled += static_cast<std::size_t>(count);
    }
    content.resize(filled);
    return content;
}

Result<Content, std::string> read_file(const std::string& path) {
    // O_NONBLOCK: open() would wait on a FIFO, which is refused below.
    const Descriptor file{::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)};
    if (!file) return system_problem("it cannot be opened");
    struct stat before {};
    if (::fstat(file.get(), &before) != 0) return system_problem("its state cannot be read");
    if (!S_ISREG(before.st_mode)) return Problem{"it is not a regular file"};
    if (const auto trusted = check_trusted(file.get(), path); !trusted) return Problem{trusted.error()};
    auto content = read_all(file.get(), static_cast<std::size_t>(before.st_size));
    struct stat after {};
    if (content && (::fstat(file.get(), &after) != 0 || !is_same_state(before, after))) {
        return Problem{"it changed while it was read; write it under another name and then rename it"};
    }
    return content;
}

constexpr bool is_64_bit = sizeof(void*) == 8;

/// Checks that the file has all bytes that its headers refer to. dlopen() maps them unchecked, and the process would
/// die of SIGBUS. dlopen() itself checks whether the file fits this machine, and has good error texts for that.
Result<void, std::string> check_elf(const Content& content) {
    constexpr const char* cut = "it ends too early; is it still being written?";
    if (content.size() < SELFMAG || std::memcmp(content.data(), ELFMAG, SELFMAG) != 0) {
        return Problem{"it is not a shared object (build it with: cc -shared -fPIC)"};
    }
    ElfW(Ehdr) header;
    if (content.size() < sizeof(header)) return Problem{cut};
    std::memcpy(&header, content.data(), sizeof(header));
    if (header.e_ident[EI_CLASS] != (is_64_bit ? ELFCLASS64 : ELFCLASS32)) return {};
    if (header.e_type != ET_DYN || header.e_phentsize != sizeof(ElfW(Phdr))) {
        return Problem{"it is not a shared object (build it with: cc -shared -fPIC)"};
    }
    const auto table_size = std::size_t{header.e_phnum} * sizeof(ElfW(Phdr));
    if (header.e_phoff > content.size() || content.size() - header.e_phoff < table_size) return Problem{cut};
    for (std::size_t i = 0; i < header.e_phnum; ++i) {
        ElfW(Phdr) segment;
        std::memcpy(&segment, content.data() + header.e_phoff + i * sizeof(segment), sizeof(segment));
        if (segment.p_offset > content.size() || content.size() - segment.p_offset < segment.p_filesz) {
            return Problem{cut};
        }
    }
    return {};
}

/// Reads a `T` at an offset; nothing if the file is too short.
template <class T>
std::optional<T> read_at(const Content& content, std::size_t offset) {
    if (offset > content.size() || content.size() - offset < sizeof(T)) return std::nullopt;
    T value;
    std::memcpy(&value, content.data() + offset, sizeof value);
    return value;
}

/// The text at an offset, up to its NUL.
std::string text_at(const Content& content, std::size_t offset) {
    std::string text;
    for (; offset < content.size() && content[offset] != 0 && text.size() < 100; ++offset) {
        text += static_cast<char>(content[offset]);
    }
    return text;
}

/// The first symbol of a section that is unique in the process, so that unloading is not possible.
std::string unique_symbol(const Content& content, const ElfW(Shdr) & section, std::size_t names) {
    for (std::size_t at = 0; at + sizeof(ElfW(Sym)) <= section.sh_size; at += sizeof(ElfW(Sym))) {
        const auto symbol = read_at<ElfW(Sym)>(content, section.sh_offset + at);
        if (!symbol) break;
        const bool is_unique = ELF64_ST_BIND(symbol->st_info) == STB_GNU_UNIQUE && symbol->st_shndx != SHN_UNDEF;
        if (is_unique) return text_at(content, names + symbol->st_name);
    }
    return {};
}

bool is_marked_to_stay(const Content& content, const ElfW(Shdr) & section) {
    for (std::size_t at = 0; at + sizeof(ElfW(Dyn)) <= section.sh_size; at += sizeof(ElfW(Dyn))) {
        const auto entry = read_at<ElfW(Dyn)>(content, section.sh_offset + at);
        if (!entry || entry->d_tag == DT_NULL) return false;
        if (entry->d_tag == DT_FLAGS_1 && (entry->d_un.d_val & DF_1_NODELETE) != 0) return true;
    }
    return false;
}

/// Why dlclose() leaves the code in memory; empty if no reason is known. dlopen() has accepted the file.
std::string find_reason_to_stay(const Content& content) {
    const auto header = read_at<ElfW(Ehdr)>(content, 0);
    if (!header || header->e_shentsize != sizeof(ElfW(Shdr))) return {};
    for (std::size_t i = 0; i < header->e_shnum; ++i) {
        const auto section = read_at<ElfW(Shdr)>(content, header->e_shoff + i * header->e_shentsize);
        if (!section) return {};
        if (section->sh_type == SHT_DYNAMIC && is_marked_to_stay(content, *section)) {
            return "it is linked with -z nodelete";
        }
        if (section->sh_type != SHT_DYNSYM) continue;
        const auto names =
            read_at<ElfW(Shdr)>(content, header->e_shoff + std::size_t{section->sh_link} * header->e_shentsize);
        const auto unique = names ? unique_symbol(content, *section, names->sh_offset) : std::string{};
        if (!unique.empty()) return "it has the unique symbol " + unique + "; build it with -fno-gnu-unique";
    }
    return {};
}

Result<void, std::string> write_all(int file, Bytes content) {
    while (!content.empty()) {
        const auto count = ::write(file, content.data(), content.size());
        if (count < 0 && errno == EINTR) continue;
        if (count < 0) return system_problem("it cannot be copied");
        content = content.subspan(static_cast<std::size_t>(count));
    }
    return {};
}

/// Creates a file in memory that only this process can reach. Its name is recognisable in /proc/PID/maps.
Descriptor make_anonymous_file(const std::string& path) {
    const auto name = "wsserver-handler-" + path.substr(path.rfind('/') + 1);
#ifdef MFD_EXEC
    Descriptor file{::memfd_create(name.substr(0, 200).c_str(), MFD_CLOEXEC | MFD_EXEC)};
    if (file || errno != EINVAL) return file;
#endif
    return Descriptor{::memfd_create(name.substr(0, 200).c_str(), MFD_CLOEXEC)};
}

std::string proc_path_of(const Descriptor& file) { return "/proc/self/fd/" + std::to_string(file.get()); }

/// A file for the copy if there is no memfd (an old kernel, a sandbox) or no /proc with its path. It is removed as soon
/// as dlopen() has opened it.
struct TemporaryFile {
    Descriptor file{};
    std::string path{};
    bool made = false;

    TemporaryFile() {
        const char* const directory = std::getenv("TMPDIR");
        path = std::string{directory && *directory ? directory : "/tmp"} + "/wsserver-handler-XXXXXX";
        file.reset(::mkostemp(path.data(), O_CLOEXEC));
        made = static_cast<bool>(file);
    }
    TemporaryFile(const TemporaryFile&) = delete;
    TemporaryFile& operator=(const TemporaryFile&) = delete;
    ~TemporaryFile() {
        if (made) ::unlink(path.c_str());
    }
};

/// RTLD_NOW: an undefined function is an error now instead of a crash at the first message.
Result<void*, std::string> open_copy(const std::string& copy) {
    if (void* const handle = ::dlopen(copy.c_str(), RTLD_NOW | RTLD_LOCAL)) return handle;
    const char* const words = ::dlerror();
    std::string why{words ? words : "unknown error"};
    if (const auto at = why.find(copy + ": "); at != std::string::npos) why.erase(at, copy.size() + 2);
    return Problem{"it cannot be loaded: " + why};
}

}  // namespace

Result<SharedLibrary, std::string> SharedLibrary::open(const std::string& path) {
    const auto content = read_file(path);
    if (!content) return Problem{content.error()};
    if (const auto checked = check_elf(*content); !checked) return Problem{checked.error()};

    auto copy = make_anonymous_file(path);
    std::optional<TemporaryFile> temporary;
    if (!copy || ::access(proc_path_of(copy).c_str(), R_OK) != 0) {
        temporary.emplace();
        copy = std::move(temporary->file);
        if (!copy) return system_problem("no temporary file can be created for its copy (in TMPDIR or /tmp)");
    }
    if (const auto written = write_all(copy.get(), *content); !written) return Problem{written.error()};
    const auto handle = open_copy(temporary ? temporary->path : proc_path_of(copy));
    if (!handle) return Problem{handle.error()};
    return SharedLibrary{std::move(copy), *handle, find_reason_to_stay(*content)};
}

SharedLibrary::SharedLibrary(SharedLibrary&& other) noexcept
    : copy_(std::move(other.copy_)),
      handle_(std::exchange(other.handle_, nullptr)),
      reason_to_stay_(std::move(other.reason_to_stay_)) {}

bool SharedLibrary::close() noexcept {
    if (!handle_) return true;
    ::dlclose(std::exchange(handle_, nullptr));
    // Some code stays in memory (-z nodelete, unique symbols, a thread_local of a running thread). dlopen() would
    // return it for the next object with the same name, so the descriptor's number must not be reused.
    void* const left = ::dlopen(proc_path_of(copy_).c_str(), RTLD_LAZY | RTLD_NOLOAD);
    if (!left) return true;
    ::dlclose(left);
    (void)copy_.release();
    return false;
}

void* SharedLibrary::find(const char* symbol) const noexcept { return ::dlsym(handle_, symbol); }

}  // namespace wsserver
