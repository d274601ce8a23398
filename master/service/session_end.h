#pragma once

#include "master/service/context.h"

namespace ringfs::master {

// How sessions end. One that has expired is fenced first: from then on nothing of it is accepted
// here, and every chunkserver is asked to confirm that nothing of it is under way there. Only then,
// and when its client knows or must assume that it has no session any more, its locks, waits and
// turns go to others.

// Takes up the fences that an earlier run of the master had begun.
void ResumeFences(Context& context);
// First step. Nothing happens to a session that is unknown or already fencing.
void ExpireSession(Context& context, SessionId session);
// The client of a session that is fencing has said that it serves nothing of it any more.
void GiveUpSession(Context& context, SessionId session);
// Second step, for every session whose fence is in force everywhere and that was given up or has
// lived its time.
void EndFencedSessions(Context& context);
// Both at once: the client says that it is done. kFenced: the session has expired.
Result<void> EndClosedSession(Context& context, SessionId session);

}  // namespace ringfs::master
