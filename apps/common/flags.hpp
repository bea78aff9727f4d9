// The flags of a program or of a command. Only flags.cpp includes CLI11, which is expensive to compile.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "wsserver/base/result.hpp"

namespace CLI {  // NOLINT(readability-identifier-naming): the library's name
class App;
}

namespace wsd {

/// Names are written as in `-q,--quiet`. The variables must live until parse() returns; it sets those that were given.
class Flags {
   public:
    enum class OtherWords : bool {
        collected,     ///< flags may follow them
        begin_command  ///< the first word that is not a flag ends the flags
    };

    explicit Flags(OtherWords others);
    ~Flags();
    Flags(const Flags&) = delete;
    Flags& operator=(const Flags&) = delete;

    void add_switch(const std::string& names, bool& given);
    void add_switch(const std::string& names, std::function<void()> given);
    /// `--name` and `--no-name`.
    void add_boolean(const std::string& name, std::function<void(bool)> take);
    /// One value; the last one counts.
    void add_value(const std::string& names, std::string& value);
    /// One value each time that the flag is given; a value may begin with a dash.
    void add_values(const std::string& names, std::vector<std::string>& values);
    /// The same; errors call a value `placeholder`.
    void add_values(const std::string& names, const std::string& placeholder,
                    const std::function<void(const std::vector<std::string>&)>& take);
    /// The first word that is not a flag.
    void add_word(const std::string& name, std::string& word);

    /// Returns the words that are not known flags, nor values of flags, nor added words. The error is one line.
    wsserver::Result<std::vector<std::string>, std::string> parse(const std::vector<std::string>& words);

   private:
    std::unique_ptr<CLI::App> app_;
};

}  // namespace wsd
