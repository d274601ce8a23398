#include "master/cluster/bucket_step.h"

#include <algorithm>

#include "common/ring/ring.h"

namespace ringfs::master {
namespace {

constexpr size_t kMaxMembers = size_t{2} * kMaxReplicas;

bool Contains(const std::vector<ServerId>& servers, ServerId server) {
  return std::find(servers.begin(), servers.end(), server) != servers.end();
}

// Whether somebody but `server` serves and certainly has all that was acknowledged.
bool ServesSoundly(const Members& members, const FactsOf& facts, ServerId but) {
  return std::any_of(members.begin(), members.end(), [&](const Member& member) {
    if (member.server == but || member.state != wire::MEMBER_SERVING || member.doubtful) {
      return false;
    }
    const ServerFacts& of = facts(member.server);
    return of.up && of.heard && !of.restarted;
  });
}

bool Serves(const Members& members, ServerId but) {
  return std::any_of(members.begin(), members.end(), [&](const Member& member) {
    return member.server != but && member.state == wire::MEMBER_SERVING;
  });
}

bool SettleRestarts(Members& members, const FactsOf& facts) {
  bool changed = false;
  for (Member& member : members) {
    if (!facts(member.server).restarted || member.state == wire::MEMBER_OFFLINE) continue;
    changed = true;
    if (member.state != wire::MEMBER_SERVING) continue;  // it begins anew, in a new version
    if (ServesSoundly(members, facts, member.server)) {
      member = {member.server, wire::MEMBER_OFFLINE};
    } else {
      member.doubtful = true;
    }
  }
  return changed;
}

bool SettleLosses(Members& members, const FactsOf& facts) {
  bool changed = false;
  for (Member& member : members) {
    const ServerFacts& of = facts(member.server);
    if (of.up || member.state == wire::MEMBER_OFFLINE) continue;
    if (member.state == wire::MEMBER_SERVING) {
      if (of.may_serve) continue;
      const bool replaced = ServesSoundly(members, facts, member.server);
      const bool given_up = of.gone && Serves(members, member.server);
      if (!replaced && !given_up) continue;
    }
    member = {member.server, wire::MEMBER_OFFLINE};
    changed = true;
  }
  return changed;
}

// Once all that serve are there at the same time, the head compares them.
void SettleDoubts(Members& members, const FactsOf& facts) {
  for (const Member& member : members) {
    const ServerFacts& of = facts(member.server);
    if (member.state == wire::MEMBER_SERVING && !(of.up && of.heard)) return;
  }
  for (Member& member : members) member.doubtful = false;
}

// Serving members go only when all that serve are there.
bool DropUnwanted(Members& members, const FactsOf& facts, const BucketWish& wish) {
  uint32_t serving_up = CountServingUp(members, facts);
  const auto serving = std::count_if(members.begin(), members.end(), [](const Member& member) {
    return member.state == wire::MEMBER_SERVING;
  });
  const bool all_up = serving_up == static_cast<uint32_t>(serving);
  const size_t before = members.size();
  for (size_t i = members.size(); i-- > 0;) {
    if (Contains(wish.wanted, members[i].server)) continue;
    if (members[i].state == wire::MEMBER_SERVING) {
      if (!all_up || serving_up <= wish.replicas) continue;
      --serving_up;
    } else if (serving_up < wish.replicas) {
      continue;
    }
    members.erase(members.begin() + static_cast<ptrdiff_t>(i));
  }
  return members.size() != before;
}

// Lets members begin to copy.
class Starter {
 public:
  Starter(Members& members, const FactsOf& facts, const BucketWish& wish, const TakeSlot& take_slot)
      : members_(members), facts_(facts), wish_(wish), take_slot_(take_slot) {
    serving_up_ = CountServingUp(members, facts);
    for (const Member& member : members) {
      if (member.state != wire::MEMBER_SYNCING) continue;
      ++syncing_;
      if (Contains(wish.wanted, member.server)) ++syncing_wanted_;
    }
    at_once_ = serving_up_ < wish.replicas ? wish.replicas - serving_up_ : 1;
  }

  bool Run() {
    if (serving_up_ == 0) return false;  // nobody to copy from
    for (Member& member : members_) {
      if (Contains(wish_.wanted, member.server) && IsBack(member)) Start(member);
    }
    // They have most of the data: the fastest way to enough copies, until they are replaced.
    for (Member& member : members_) {
      if (Contains(wish_.wanted, member.server) || !IsBack(member)) continue;
      if (serving_up_ + syncing_ < wish_.replicas) StartUnwanted(member);
    }
    for (const ServerId server : wish_.wanted) AddMissing(server);
    return changed_;
  }

 private:
  bool IsBack(const Member& member) const {
    return member.state == wire::MEMBER_OFFLINE && facts_(member.server).up;
  }

  void Start(Member& member) {
    if (syncing_wanted_ >= at_once_ || !take_slot_(member.server)) return;
    ++syncing_wanted_;
    ++syncing_;
    member.state = wire::MEMBER_SYNCING;
    changed_ = true;
  }

  void StartUnwanted(Member& member) {
    if (!take_slot_(member.server)) return;
    ++syncing_;
    member.state = wire::MEMBER_SYNCING;
    changed_ = true;
  }

  void AddMissing(ServerId server) {
    const bool present = std::any_of(members_.begin(), members_.end(),
                                     [&](const Member& member) { return member.server == server; });
    if (present || !facts_(server).up || members_.size() >= kMaxMembers) return;
    Member member{server, wire::MEMBER_OFFLINE};
    Start(member);
    if (member.state == wire::MEMBER_SYNCING) members_.push_back(member);
  }

  Members& members_;
  const FactsOf& facts_;
  const BucketWish& wish_;
  const TakeSlot& take_slot_;
  uint32_t serving_up_ = 0;
  uint32_t syncing_ = 0;
  uint32_t syncing_wanted_ = 0;
  uint32_t at_once_ = 1;
  bool changed_ = false;
};

}  // namespace

uint32_t CountServingUp(const Members& members, const FactsOf& facts) {
  return static_cast<uint32_t>(
      std::count_if(members.begin(), members.end(), [&](const Member& member) {
        return member.state == wire::MEMBER_SERVING && facts(member.server).up;
      }));
}

bool SettleBucket(Members& members, const FactsOf& facts) {
  bool changed = SettleRestarts(members, facts);
  changed |= SettleLosses(members, facts);
  changed |= std::erase_if(members, [&](const Member& member) {
               return member.state == wire::MEMBER_OFFLINE && facts(member.server).gone;
             }) > 0;
  SettleDoubts(members, facts);
  return changed;
}

bool AdvanceBucket(Members& members, const FactsOf& facts, const BucketWish& wish,
                   const std::vector<ServerId>& synced, const TakeSlot& take_slot) {
  bool promoted = false;
  for (Member& member : members) {
    if (member.state != wire::MEMBER_SYNCING || !Contains(synced, member.server)) continue;
    member.state = wire::MEMBER_SERVING;
    promoted = true;
  }
  bool changed = DropUnwanted(members, facts, wish) || promoted;
  changed |= Starter(members, facts, wish, take_slot).Run();
  if (promoted) {
    // The head goes back to its place only now: each change of it costs the bucket a comparison.
    auto rank = [&](const Member& member) {
      return std::find(wish.wanted.begin(), wish.wanted.end(), member.server) - wish.wanted.begin();
    };
    std::stable_sort(members.begin(), members.end(),
                     [&](const Member& a, const Member& b) { return rank(a) < rank(b); });
  }
  return changed;
}

}  // namespace ringfs::master
