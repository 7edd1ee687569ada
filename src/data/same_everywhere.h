// All ranks see the same dataset, or nobody works on it.
// Why: on several hosts the pictures often lie on each host's own disk. A copy that is older or half done
// gives ranks that wait for each other for ever, or a result made from a mixture, with exit code 0.
#pragma once

#include "comm/communicator.h"
#include "data/dataset.h"

namespace deda::data {

// Whose files are compared with those that rank 0 finds.
enum class FilesOf {
  one_rank_per_host,  // the ranks of rank 0's own host open the same files
  every_rank
};

// Collective. DataError on all ranks that names the first difference and both hosts, unless all ranks have
// the same list (classes, and per picture its path, class, split, labels, group, boxes and mask) and files of
// the same sizes, and a sample of files, the same on every host, of the same content. With one host no file
// is opened.
void require_same_everywhere(const comm::Communicator& ranks, const Dataset& dataset,
                             FilesOf files = FilesOf::one_rank_per_host);

}  // namespace deda::data
