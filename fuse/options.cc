#include "fuse/options.h"

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <filesystem>
#include <map>

namespace ringfs::fuse {
namespace {

std::vector<std::string> Split(const std::string& text, char separator) {
  std::vector<std::string> parts;
  size_t start = 0;
  while (start <= text.size()) {
    const size_t end = std::min(text.find(separator, start), text.size());
    if (end > start) parts.push_back(text.substr(start, end - start));
    start = end + 1;
  }
  return parts;
}

// "HOST:PORT[,HOST:PORT...][:/SUBDIR]"
Result<void> ParseSource(const std::string& source, MountOptions* options) {
  options->source = source;
  std::string hosts = source;
  if (const size_t path = source.find(":/"); path != std::string::npos) {
    hosts = source.substr(0, path);
    options->subdirectory = source.substr(path + 2);
    while (options->subdirectory.ends_with('/')) options->subdirectory.pop_back();
  }
  options->masters = Split(hosts, ',');
  for (const std::string& master : options->masters) {
    const size_t colon = master.rfind(':');
    int port = 0;
    const char* end = master.data() + master.size();
    const bool good = colon != std::string::npos && colon > 0 &&
                      std::from_chars(master.data() + colon + 1, end, port).ptr == end &&
                      port > 0 && port < 65536;
    if (!good) return Fail(Errc::kInvalid, "'" + master + "' is not HOST:PORT of a master");
  }
  if (options->masters.empty()) {
    return Fail(Errc::kInvalid,
                "'" + source + "' names no master (HOST:PORT[,HOST:PORT...][:/SUBDIR])");
  }
  return {};
}

Result<int64_t> ParseSeconds(const std::string& name, const std::string& value) {
  int64_t seconds = 0;
  const char* end = value.data() + value.size();
  if (std::from_chars(value.data(), end, seconds).ptr != end || value.empty() || seconds < 1 ||
      seconds > 86400) {
    return Fail(Errc::kInvalid,
                "option " + name + " wants seconds from 1 to 86400, not '" + value + "'");
  }
  return seconds * 1000;
}

Result<size_t> ParseMebibytes(const std::string& name, const std::string& value) {
  size_t mebibytes = 0;
  const char* end = value.data() + value.size();
  if (std::from_chars(value.data(), end, mebibytes).ptr != end || value.empty() ||
      mebibytes < 1 || mebibytes > 65536) {
    return Fail(Errc::kInvalid,
                "option " + name + " wants MiB from 1 to 65536, not '" + value + "'");
  }
  return mebibytes << 20;
}

// Meant for mount(8), fstab's readers or the service manager.
bool IsForOthers(const std::string& name) {
  static const char* const kNames[] = {
      "defaults", "rw",    "nofail",  "_netdev", "noauto", "auto",  "user",   "users",  "nouser",
      "owner",    "group", "comment", "async",   "atime",  "nosync", "silent", "loud"};
  return name.starts_with("x-") ||
         std::find(std::begin(kNames), std::end(kNames), name) != std::end(kNames);
}

bool IsForKernel(const std::string& name) {
  static const char* const kNames[] = {"suid", "nosuid", "dev",     "nodev",
                                       "exec", "noexec", "dirsync", "sync"};
  return std::find(std::begin(kNames), std::end(kNames), name) != std::end(kNames);
}

Result<void> ParseOption(const std::string& option, MountOptions* options) {
  const size_t equals = option.find('=');
  const std::string name = option.substr(0, equals);
  const std::string value = equals == std::string::npos ? "" : option.substr(equals + 1);
  if (IsForOthers(name)) return {};
  if (name == "ro") {
    options->read_only = true;
  } else if (IsForKernel(name)) {
    options->kernel.push_back(name);
    options->dirsync = options->dirsync || name == "dirsync" || name == "sync";
  } else if (name == "noatime" || name == "nodiratime") {
    options->kernel.push_back(name);
    if (name == "noatime") options->atime = Atime::kNoatime;
  } else if (name == "relatime") {
    options->atime = Atime::kRelatime;
  } else if (name == "strictatime") {
    options->atime = Atime::kStrict;
  } else if (name == "allow_other") {
    options->allow_other = true;
  } else if (name == "noallow_other") {
    options->allow_other = false;
  } else if (name == "timeout" || name == "session_ttl") {
    auto ms = ParseSeconds(name, value);
    if (!ms) return Fail(ms.error());
    (name == "timeout" ? options->timeout_ms : options->session_ttl_ms) = *ms;
  } else if (name == "cache") {
    if (value != "none" && value != "lease") {
      return Fail(Errc::kInvalid, "option cache knows 'lease' and 'none', not '" + value + "'");
    }
    options->caching = value == "lease";
  } else if (name == "dirty") {
    auto bytes = ParseMebibytes(name, value);
    if (!bytes) return Fail(bytes.error());
    options->max_dirty_bytes = *bytes;
  } else if (name == "sync_on_close") {
    options->sync_on_close = true;
  } else if (name == "log" && !value.empty()) {
    options->log_file = value;
  } else if (name == "metrics" && !value.empty()) {
    options->metrics = value;
  } else if (name == "log_level") {
    options->log_level = value;
  } else if (name == "subdir" && !value.empty()) {
    options->subdirectory = value[0] == '/' ? value.substr(1) : value;
  } else {
    return Fail(Errc::kInvalid, "unknown option '" + option + "' (--help lists them)");
  }
  return {};
}

}  // namespace

Result<MountOptions> ParseMountOptions(const std::vector<std::string>& arguments, bool as_helper) {
  MountOptions options;
  options.as_helper = as_helper;
  std::vector<std::string> positional;
  for (size_t i = 0; i < arguments.size(); ++i) {
    const std::string& argument = arguments[i];
    if (argument == "-o" || argument.starts_with("-o")) {
      const bool apart = argument == "-o";
      if (apart && i + 1 == arguments.size()) return Fail(Errc::kInvalid, "-o wants options");
      for (const std::string& option : Split(apart ? arguments[++i] : argument.substr(2), ',')) {
        auto parsed = ParseOption(option, &options);
        if (!parsed) return Fail(parsed.error());
      }
    } else if (argument == "-h" || argument == "--help") {
      options.help = true;
    } else if (argument == "-V" || argument == "--version") {
      options.version = true;
    } else if (argument == "-f") {
      (as_helper ? options.fake : options.foreground) = true;
    } else if (argument == "-r") {
      options.read_only = true;
    } else if (as_helper && argument == "-t") {
      ++i;  // the type, which is ours
    } else if (argument == "-n" || argument == "-s" || argument == "-v" || argument == "-w") {
      // mount(8) passes them; none changes anything here.
    } else if (argument.starts_with('-') && argument.size() > 1) {
      return Fail(Errc::kInvalid, "unknown flag '" + argument + "' (--help lists them)");
    } else {
      positional.push_back(argument);
    }
  }
  if (options.help || options.version) return options;
  if (positional.size() != 2) {
    return Fail(Errc::kInvalid, "wanted: HOST:PORT[,HOST:PORT...][:/SUBDIR] MOUNTPOINT (--help)");
  }
  auto source = ParseSource(positional[0], &options);
  if (!source) return Fail(source.error());
  std::error_code error;
  options.mountpoint = std::filesystem::absolute(positional[1], error).lexically_normal();
  while (options.mountpoint.size() > 1 && options.mountpoint.ends_with('/')) {
    options.mountpoint.pop_back();
  }
  return options;
}

std::string MountHelp() {
  return R"(usage: ringfs-mount HOST:PORT[,HOST:PORT...][:/SUBDIR] MOUNTPOINT [-f] [-o OPTION[,OPTION...]]

Mounts the filesystem of the masters named, or a directory of it. Returns when the mount answers.
Called as mount.ringfs or mount.fuse.ringfs it serves mount(8) and /etc/fstab.

  -f            stay in the foreground, log to stderr
  -r            as -o ro
  -h, --help    this text
  -V, --version

options:
  ro, rw                read only; reading and writing
  noatime, relatime, strictatime
                        when reading changes the access time: never; when it is older than the last
                        change or than a day (the default); always
  suid, nosuid, dev, nodev, exec, noexec
                        as for any filesystem (set-id programs, device nodes, programs); for root the
                        default is suid,dev,exec
  sync, dirsync         as for any filesystem: each write, each change of names, is on the disks when
                        it returns (else fsync of the file or the directory brings it there)
  allow_other           everybody on this machine may use the mount (default for root)
  noallow_other         only the user who mounts
  subdir=PATH           as :/PATH
  timeout=SECONDS       how long a call waits for a cluster that does not answer, then it fails (60)
  session_ttl=SECONDS   how long locks are kept for this mount when its machine is not heard of (10)
  cache=lease           what others have not changed is kept, and writes are held back for at most
                        half a second: leases of the master see to it that nobody notices (default)
  cache=none            nothing is kept beyond a call; each write is stored before it returns
  dirty=MIB             memory for writes that are held back (64)
  sync_on_close         close(2) returns when what was written is stored
  log=FILE              append the log there; default: stderr in the foreground, else the system log
  metrics=HOST:PORT     tell figures there to Prometheus, over HTTP
  log_level=LEVEL       trace, debug, info, warn or error (info)
  defaults, auto, noauto, nofail, _netdev, user, x-..., comment=...
                        meant for others, accepted and ignored
)";
}

}  // namespace ringfs::fuse
