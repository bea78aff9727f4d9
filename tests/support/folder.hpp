// A temporary folder for a test, and functions for files.
#pragma once

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace wsserver::test {

/// A new folder in the system's folder for temporary files. The destructor removes it and all its files.
class TemporaryFolder {
   public:
    TemporaryFolder() {
        auto pattern = (std::filesystem::temp_directory_path() / "wsserver-test-XXXXXX").string();
        if (::mkdtemp(pattern.data()) == nullptr) throw std::runtime_error{"mkdtemp: " + pattern};
        path_ = pattern;
    }
    ~TemporaryFolder() {
        std::error_code ignored;
        std::filesystem::remove_all(path_, ignored);
    }
    TemporaryFolder(const TemporaryFolder&) = delete;
    TemporaryFolder& operator=(const TemporaryFolder&) = delete;

    /// The path of a file in the folder.
    std::string operator/(std::string_view name) const { return path_ + '/' + std::string{name}; }
    const std::string& path() const noexcept { return path_; }

    /// Writes a file in the folder and returns its path. Throws std::runtime_error.
    std::string write(std::string_view name, std::string_view content) const {
        const std::string file = *this / name;
        std::ofstream stream{file, std::ios::binary | std::ios::trunc};
        if (!stream.write(content.data(), static_cast<std::streamsize>(content.size())).flush()) {
            throw std::runtime_error{"cannot write " + file};
        }
        return file;
    }

   private:
    std::string path_;
};

/// Writes a file. Throws std::runtime_error.
inline void write_to(const std::string& path, std::string_view text) {
    std::ofstream file{path, std::ios::binary | std::ios::trunc};
    file << text;
    file.close();
    if (!file) throw std::runtime_error{"cannot write " + path};
}

/// Whether there is a file, even a symbolic link without a target.
inline bool exists(const std::string& path) {
    struct stat status;
    return ::lstat(path.c_str(), &status) == 0;
}

/// The content of a file; empty if there is no such file.
inline std::string text_in(const std::string& path) {
    std::ifstream file{path, std::ios::binary};
    return {std::istreambuf_iterator<char>{file}, {}};
}

/// The names in a folder, sorted.
inline std::vector<std::string> names_in(const std::string& folder) {
    std::vector<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator{folder}) {
        names.push_back(entry.path().filename().string());
    }
    std::sort(names.begin(), names.end());
    return names;
}

}  // namespace wsserver::test
