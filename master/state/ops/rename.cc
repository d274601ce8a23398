#include "master/state/limits.h"
#include "master/state/ops/ops.h"

namespace ringfs::master {
namespace {

constexpr uint32_t kNoReplace = 1;
constexpr uint32_t kExchange = 2;

// A name and what it stands for. The two ends of a rename may share their directory.
struct End {
  uint64_t parent = 0;
  const std::string& name;
  std::optional<wire::EntryRecord> entry = {};
  std::optional<wire::InodeRecord> record = {};  // what the entry stands for

  bool HoldsDirectory() const { return entry && IsDirectory(entry->type()); }
};

struct Ends {
  Change& change;
  End from;
  End to;
  wire::InodeRecord from_directory = {};
  std::optional<wire::InodeRecord> to_directory = {};  // when it is another

  wire::InodeRecord& ToDirectory() { return to_directory ? *to_directory : from_directory; }
};

Result<void> CheckRequest(const wire::Rename& ask) {
  if ((ask.flags() & ~(kNoReplace | kExchange)) != 0 || ask.flags() == (kNoReplace | kExchange)) {
    return Fail(Errc::kInvalid, "flags of rename that are not known");
  }
  for (const std::string* name : {&ask.name(), &ask.new_name()}) {
    Result<void> checked = CheckName(*name);
    if (!checked) return checked;
  }
  if (IsDots(ask.name())) return Fail(Errc::kBusy, "a name of dots");
  if (IsDots(ask.new_name())) {
    return Fail(ask.flags() == kNoReplace ? Errc::kExists : Errc::kBusy, "a name of dots");
  }
  return {};
}

Result<void> LoadEnd(Change& change, End& end) {
  Result<std::optional<wire::EntryRecord>> entry = change.tree.Find(end.parent, end.name);
  if (!entry) return Fail(entry.error());
  end.entry = std::move(*entry);
  return {};
}

Result<void> LoadRecord(Change& change, End& end) {
  if (!end.entry) return {};
  Result<wire::InodeRecord> record = change.tree.Get(end.entry->inode());
  if (!record) return Fail(record.error());
  end.record = std::move(*record);
  return {};
}

Result<void> Load(Ends& ends) {
  Result<wire::InodeRecord> from = ends.change.tree.GetDirectory(ends.from.parent);
  if (!from) return Fail(from.error());
  ends.from_directory = std::move(*from);
  if (ends.to.parent != ends.from.parent) {
    Result<wire::InodeRecord> to = ends.change.tree.GetDirectory(ends.to.parent);
    if (!to) return Fail(to.error());
    ends.to_directory = std::move(*to);
  }
  Result<void> loaded = LoadEnd(ends.change, ends.from);
  if (!loaded) return loaded;
  loaded = LoadEnd(ends.change, ends.to);
  if (!loaded) return loaded;
  if (!ends.from.entry) return Fail(Errc::kNotFound, "no such name");
  if (ends.ToDirectory().attributes().links() == 0) {
    return Fail(Errc::kNotFound, "the new directory has been removed");
  }
  return {};
}

// A directory cannot come to lie within itself.
Result<void> CheckLoops(const Ends& ends, uint32_t flags) {
  if (!ends.to_directory) return {};
  const Tree& tree = ends.change.tree;
  if (ends.from.HoldsDirectory()) {
    Result<bool> within = tree.IsWithin(ends.to.parent, ends.from.entry->inode());
    if (!within) return Fail(within.error());
    if (*within) return Fail(Errc::kInvalid, "a directory would be moved into itself");
  }
  if (ends.to.HoldsDirectory()) {
    Result<bool> within = tree.IsWithin(ends.from.parent, ends.to.entry->inode());
    if (!within) return Fail(within.error());
    if (*within) {
      return Fail(flags == kExchange ? Errc::kInvalid : Errc::kNotEmpty,
                  "the new name is a directory above the old one");
    }
  }
  return {};
}

Result<void> CheckReplace(const Ends& ends) {
  if (!ends.to.entry) return {};
  if (ends.from.HoldsDirectory() && !ends.to.HoldsDirectory()) {
    return Fail(Errc::kNotDirectory, "a directory would replace what is none");
  }
  if (!ends.from.HoldsDirectory() && ends.to.HoldsDirectory()) {
    return Fail(Errc::kIsDirectory, "the new name is a directory");
  }
  if (ends.to.record->entries() > 0) return Fail(Errc::kNotEmpty, "the directory is not empty");
  return {};
}

void AddLinks(wire::InodeRecord& directory, int change) {
  wire::Attributes& attributes = *directory.mutable_attributes();
  attributes.set_links(attributes.links() + static_cast<uint32_t>(change));
}

// `record`, which had the name of `old`, has that of `end` now.
void MoveRecord(Change& change, wire::InodeRecord& record, const End& old, const End& end) {
  bool shown = record.parent() == 0 || (record.parent() == old.parent && record.name() == old.name);
  if (shown || IsDirectory(record.attributes().mode())) {
    record.set_parent(end.parent);
    record.set_name(end.name);
  }
  record.mutable_attributes()->set_ctime_ns(change.now_ns);
  change.tree.Put(record);
}

void PutDirectories(Ends& ends) {
  Touch(ends.from_directory, ends.change.now_ns);
  ends.change.tree.Put(ends.from_directory);
  if (!ends.to_directory) return;
  Touch(*ends.to_directory, ends.change.now_ns);
  ends.change.tree.Put(*ends.to_directory);
}

void Exchange(Ends& ends) {
  Tree& tree = ends.change.tree;
  const wire::EntryRecord from = *ends.from.entry;
  const wire::EntryRecord to = *ends.to.entry;
  int moved = int{ends.from.HoldsDirectory()} - int{ends.to.HoldsDirectory()};
  AddLinks(ends.from_directory, -moved);
  AddLinks(ends.ToDirectory(), moved);
  tree.Replace(ends.from_directory, ends.from.name, from, to.inode(), to.type());
  tree.Replace(ends.ToDirectory(), ends.to.name, to, from.inode(), from.type());
  PutDirectories(ends);
  MoveRecord(ends.change, *ends.from.record, ends.from, ends.to);
  MoveRecord(ends.change, *ends.to.record, ends.to, ends.from);
}

// Returns what the caller is told of the file or directory that had the new name.
wire::MetaReply Move(Ends& ends) {
  Tree& tree = ends.change.tree;
  const wire::EntryRecord& from = *ends.from.entry;
  int directories = int{ends.from.HoldsDirectory()};
  tree.Erase(ends.from_directory, ends.from.name, from);
  AddLinks(ends.from_directory, -directories);
  if (ends.to.entry) {
    tree.Replace(ends.ToDirectory(), ends.to.name, *ends.to.entry, from.inode(), from.type());
  } else {
    tree.Insert(ends.ToDirectory(), ends.to.name, from.inode(), from.type());
    AddLinks(ends.ToDirectory(), directories);
  }
  PutDirectories(ends);
  wire::MetaReply reply;
  if (ends.to.record) {
    DropName(ends.change, *ends.to.record, ends.to.parent, ends.to.name);
    reply = ReplyWithRemoved(*ends.to.record);
  }
  MoveRecord(ends.change, *ends.from.record, ends.from, ends.to);
  return reply;
}

}  // namespace

Result<wire::MetaReply> ApplyChange(Change& change, const wire::Rename& ask) {
  Result<void> checked = CheckRequest(ask);
  if (!checked) return Fail(checked.error());
  Ends ends{change, End{ask.parent(), ask.name()}, End{ask.new_parent(), ask.new_name()}};
  checked = Load(ends);
  if (!checked) return Fail(checked.error());
  if (ask.flags() == kNoReplace && ends.to.entry) return Fail(Errc::kExists, "the name exists");
  if (ask.flags() == kExchange && !ends.to.entry) return Fail(Errc::kNotFound, "no such name");
  change.moved_directory =
      ends.to_directory && (ends.from.HoldsDirectory() || ends.to.HoldsDirectory());
  checked = CheckLoops(ends, ask.flags());
  if (!checked) return Fail(checked.error());
  // Two names of one file: POSIX wants both to stay.
  if (ends.to.entry && ends.to.entry->inode() == ends.from.entry->inode()) {
    return wire::MetaReply();
  }
  checked = LoadRecord(change, ends.from);
  if (!checked) return Fail(checked.error());
  checked = LoadRecord(change, ends.to);
  if (!checked) return Fail(checked.error());

  if (ask.flags() == kExchange) {
    Exchange(ends);
    return wire::MetaReply();
  }
  checked = CheckReplace(ends);
  if (!checked) return Fail(checked.error());
  if (ends.to_directory && ends.from.HoldsDirectory() && !ends.to.entry &&
      ends.to_directory->attributes().links() >= kMaxDirectoryLinks) {
    return Fail(Errc::kTooManyLinks, "the directory has too many subdirectories");
  }
  return Move(ends);
}

}  // namespace ringfs::master
