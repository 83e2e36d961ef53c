#include "control/training_job_table.h"

#include "base/failpoint.h"
#include "base/text.h"
#include "wire/json.h"

namespace sagebrush::control {
namespace {

namespace sm = gen::sagemaker;

Error UnknownJob() {
  return Error(ErrorKind::kInvalidArgument, "Requested resource not found.", "ValidationException");
}

Result<TrainingJobRecord> ReadRecord(const db::Row& row) {
  TrainingJobRecord record;
  TRY(record.request, wire::FromJson<sm::CreateTrainingJobRequest>(row.Text(0)));
  TRY(record.state, domain::TrainingJobStateFromJson(row.Text(1)));
  return record;
}

// The token holds the sort value and name of the last row shown, so that pages stay right while jobs are added.
struct ListPosition {
  std::string sort_value;
  std::string name;
};

std::string EncodeToken(const ListPosition& position) {
  return Base64Encode(position.sort_value + "\n" + position.name);
}

Result<ListPosition> DecodeToken(const std::string& token) {
  std::optional<std::string> text = Base64Decode(token);
  size_t newline = text ? text->find('\n') : std::string::npos;
  if (newline == std::string::npos) {
    return Fail(InvalidArgument("NextToken is not one that ListTrainingJobs returned.", "ValidationException"));
  }
  return ListPosition{text->substr(0, newline), text->substr(newline + 1)};
}

struct ListQuery {
  std::string sql;
  std::vector<db::Value> parameters;
  std::string sort_column;
};

void AddTimeFilter(ListQuery& query, const std::optional<wire::Timestamp>& time, std::string_view condition) {
  if (!time) return;
  query.sql += " AND " + std::string(condition);
  query.parameters.emplace_back(time->ms);
}

Result<ListQuery> BuildListQuery(const sm::ListTrainingJobsRequest& request, size_t limit) {
  ListQuery query;
  std::string sort_by = request.SortBy.value_or("CreationTime");
  query.sort_column = sort_by == "Name" ? "name" : sort_by == "Status" ? "status" : "created_ms";
  bool descending = request.SortOrder.value_or("Descending") == "Descending";
  query.sql = "SELECT name, created_ms, modified_ms, state, CAST(" + query.sort_column +
              " AS TEXT) FROM training_jobs WHERE 1 = 1";
  AddTimeFilter(query, request.CreationTimeAfter, "created_ms > ?");
  AddTimeFilter(query, request.CreationTimeBefore, "created_ms < ?");
  AddTimeFilter(query, request.LastModifiedTimeAfter, "modified_ms > ?");
  AddTimeFilter(query, request.LastModifiedTimeBefore, "modified_ms < ?");
  if (request.NameContains) {
    query.sql += " AND instr(name, ?) > 0";
    query.parameters.emplace_back(*request.NameContains);
  }
  if (request.StatusEquals) {
    query.sql += " AND status = ?";
    query.parameters.emplace_back(*request.StatusEquals);
  }
  if (request.NextToken) {
    TRY(ListPosition position, DecodeToken(*request.NextToken));
    query.sql += " AND (" + query.sort_column + ", name) " + (descending ? "<" : ">") + " (?, ?)";
    if (query.sort_column == "created_ms") {
      query.parameters.emplace_back(ParseInt(position.sort_value).value_or(0));
    } else {
      query.parameters.emplace_back(position.sort_value);
    }
    query.parameters.emplace_back(position.name);
  }
  std::string direction = descending ? " DESC" : " ASC";
  query.sql += " ORDER BY " + query.sort_column + direction + ", name" + direction + " LIMIT ?";
  query.parameters.emplace_back(static_cast<int64_t>(limit + 1));
  return query;
}

}  // namespace

Result<void> TrainingJobTable::Insert(const TrainingJobRecord& record, const std::string& arn,
                                      const std::string& invocation_id) {
  const std::string& name = record.request.TrainingJobName;
  FAILPOINT("control.create.before_commit");
  TRYV(database_.Write([&](db::Transaction& tx) -> Result<void> {
    TRY(auto existing, tx.Query("SELECT invocation_id FROM training_jobs WHERE name = ?", {name}));
    if (!existing.empty()) {
      if (!invocation_id.empty() && existing[0].Text(0) == invocation_id) return {};
      return Fail(Error(ErrorKind::kAlreadyExists,
                        "Training job names must be unique within an AWS account and region, and a training job with "
                        "this name already exists (" +
                            arn + ")",
                        "ResourceInUse"));
    }
    TRYV(
        tx.Execute("INSERT INTO training_jobs (name, status, created_ms, modified_ms, active, invocation_id, request, "
                   "state) VALUES (?, ?, ?, ?, 1, ?, ?, ?)",
                   {name, std::string(ToString(record.state.status)), record.state.created_ms, record.state.modified_ms,
                    invocation_id, wire::ToJson(record.request), domain::ToJson(record.state)}));
    int64_t position = 0;
    for (const sm::Tag& tag : record.request.Tags) {
      TRYV(
          tx.Execute("INSERT INTO tags (arn, key, value, position) VALUES (?, ?, ?, ?) "
                     "ON CONFLICT (arn, key) DO UPDATE SET value = excluded.value",
                     {arn, tag.Key, tag.Value, position++}));
    }
    return {};
  }));
  FAILPOINT("control.create.after_commit");
  return {};
}

Result<TrainingJobRecord> TrainingJobTable::Get(const JobName& name) {
  std::vector<db::Row> rows;
  TRYV(database_.Read([&](db::Transaction& tx) -> Result<void> {
    TRY(rows, tx.Query("SELECT request, state FROM training_jobs WHERE name = ?", {name.value()}));
    return {};
  }));
  if (rows.empty()) return Fail(UnknownJob());
  return ReadRecord(rows[0]);
}

Result<std::vector<JobName>> TrainingJobTable::Active() {
  std::vector<JobName> names;
  TRYV(database_.Read([&](db::Transaction& tx) {
    return tx.ForEach("SELECT name FROM training_jobs WHERE active = 1 ORDER BY created_ms, name", {},
                      [&names](const db::Row& row) {
                        names.emplace_back(row.Text(0));
                        return true;
                      });
  }));
  return names;
}

Result<sm::ListTrainingJobsResponse> TrainingJobTable::List(
    const sm::ListTrainingJobsRequest& request, const std::function<std::string(const std::string&)>& arn_of) {
  size_t limit = static_cast<size_t>(request.MaxResults.value_or(10));
  TRY(ListQuery query, BuildListQuery(request, limit));
  std::vector<db::Row> rows;
  TRYV(database_.Read([&](db::Transaction& tx) -> Result<void> {
    TRY(rows, tx.Query(query.sql, query.parameters));
    return {};
  }));
  sm::ListTrainingJobsResponse response;
  for (const db::Row& row : rows) {
    if (response.TrainingJobSummaries.size() == limit) break;
    TRY(domain::TrainingJobState state, domain::TrainingJobStateFromJson(row.Text(3)));
    sm::TrainingJobSummary summary;
    summary.TrainingJobName = row.Text(0);
    summary.TrainingJobArn = arn_of(row.Text(0));
    summary.CreationTime.ms = row.Int(1);
    summary.LastModifiedTime = wire::Timestamp{row.Int(2)};
    if (IsFinal(state.status)) {
      summary.TrainingEndTime =
          wire::Timestamp{state.training_ended_ms != 0 ? state.training_ended_ms : state.modified_ms};
    }
    summary.TrainingJobStatus = ToString(state.status);
    summary.SecondaryStatus = std::string(ToString(state.secondary()));
    response.TrainingJobSummaries.push_back(std::move(summary));
  }
  if (rows.size() > limit) {
    const db::Row& last = rows[limit - 1];
    response.NextToken = EncodeToken({last.Text(4), last.Text(0)});
  }
  return response;
}

Result<domain::TrainingJobState> TrainingJobTable::Update(const JobName& name, const Change& change,
                                                          std::vector<std::string> intents) {
  domain::TrainingJobState state;
  TRYV(database_.Write([&](db::Transaction& tx) -> Result<void> {
    TRY(auto rows, tx.Query("SELECT state FROM training_jobs WHERE name = ?", {name.value()}));
    if (rows.empty()) return Fail(UnknownJob());
    TRY(state, domain::TrainingJobStateFromJson(rows[0].Text(0)));
    TRYV(change(state));
    bool active = !IsFinal(state.status) || !state.instances_destroyed;
    TRYV(tx.Execute("UPDATE training_jobs SET status = ?, modified_ms = ?, active = ?, state = ? WHERE name = ?",
                    {std::string(ToString(state.status)), state.modified_ms, static_cast<int64_t>(active),
                     domain::ToJson(state), name.value()}));
    for (const std::string& intent : intents) {
      TRYV(
          tx.Execute("INSERT INTO intents (id, job, epoch, committed_ms) VALUES (?, ?, ?, ?) "
                     "ON CONFLICT (id) DO NOTHING",
                     {intent, name.value(), database_.epoch().value, state.modified_ms}));
    }
    return {};
  }));
  return state;
}

}  // namespace sagebrush::control
