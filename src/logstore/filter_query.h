#pragma once

#include "db/store.h"
#include "logstore/log_store.h"

namespace sagebrush::logstore {

// One page of LogStore::Filter, inside a read transaction: a merge of the streams by (timestamp, stream, position).
// A stream is opened only when the merge reaches its first event, so a page of a group with many finished streams
// touches few of them. A page ends at the limit, at 1 MiB, or after looking at kMostScannedEvents events.
inline constexpr size_t kMostScannedEvents = 100'000;
Result<FilterPage> RunFilter(db::Transaction& transaction, const FilterRequest& request);

}  // namespace sagebrush::logstore
