#pragma once

#include <filesystem>
#include <string>

#include "base/result.h"
#include "driver/driver.h"
#include "gen/sagemaker.h"
#include "objstore/object_store.h"

namespace sagebrush::control {

// Fills in what an instance finds on its disk: channels and the source archive, as hard links to stored objects in
// `directory` (made anew), and the specification's paths to them. Errors are the job's FailureReason: they name the
// channel and URI and say what to do. Idempotent: what an earlier, interrupted call left is removed first.
Result<void> StageInputs(objstore::ObjectStore& objects, const gen::sagemaker::CreateTrainingJobRequest& request,
                         const std::filesystem::path& directory, objstore::BlobOwner owner, driver::InstanceSpec& spec);

// Whether the programs that version 3 of the SDK sends along (channel sm_drivers) run the script by MPI, which their
// distributed.json tells. A channel that cannot be read brings none; staging says why.
bool BringsMpiDriver(objstore::ObjectStore& objects, const gen::sagemaker::CreateTrainingJobRequest& request);

// Why an object could not be linked, for a FailureReason.
std::string WhyUnreadable(const Error& error);

// The job's outputs and checkpoints have a place to go.
Result<void> CheckOutputBuckets(objstore::ObjectStore& objects,
                                const gen::sagemaker::CreateTrainingJobRequest& request);

}  // namespace sagebrush::control
