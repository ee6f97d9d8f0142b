#include "libs/hub_cache/blob_digest.hpp"

#include <gtest/gtest.h>

#include <string>

namespace d2c::hub {
namespace {

std::string digest_of(const std::string& name, std::string_view bytes) {
  BlobDigest digest(name, bytes.size());
  const auto all = std::as_bytes(std::span(bytes.data(), bytes.size()));
  digest.update(all.first(bytes.size() / 2));
  digest.update(all.subspan(bytes.size() / 2));
  return digest.finish();
}

TEST(BlobDigest, IsGitsForNamesOfFortyDigits) {
  EXPECT_EQ(digest_of(std::string(40, '0'), "hello\n"), "ce013625030ba8dba906f756967f9e9ca394464a");
  EXPECT_EQ(digest_of(std::string(40, '0'), ""), "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391");
}

TEST(BlobDigest, IsSha256ForNamesOfSixtyFour) {
  EXPECT_EQ(digest_of(std::string(64, '0'), "abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

TEST(BlobName, IsOneOfTwoLengthsOfLowerHex) {
  EXPECT_TRUE(is_blob_name(std::string(40, 'f')));
  EXPECT_TRUE(is_blob_name(std::string(64, '0')));
  for (const std::string& name : {std::string(), std::string(41, '0'), std::string(40, 'F'), std::string(40, 'g'),
                                  "../" + std::string(37, '0'), std::string(40, '\0')})
    EXPECT_FALSE(is_blob_name(name)) << name;
}

}  // namespace
}  // namespace d2c::hub
