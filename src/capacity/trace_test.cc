#include "capacity/trace.h"

#include <gtest/gtest.h>

#include <sstream>

#include "base/hash.h"
#include "capacity/trace_generator.h"

namespace vr::capacity {
namespace {

Result<Trace> Read(const std::string& text, TraceFormat format = TraceFormat::kAuto) {
  std::istringstream in(text);
  return ReadTrace(in, format);
}

std::string ErrorOf(const std::string& text, TraceFormat format = TraceFormat::kAuto) {
  const Result<Trace> trace = Read(text, format);
  EXPECT_FALSE(trace.ok());
  return trace.ok() ? "" : trace.error().public_message;
}

std::string LogLine(const std::string& second, const std::string& rest) {
  return R"({"time":"2026-11-27T12:00:)" + second + R"(Z","level":"info","event":"request",)" +
         rest + "}\n";
}

TEST(ReadTrace, ReadsCsvWithAndWithoutHeaderAndCost) {
  const Result<Trace> trace =
      Read("timestamp,id,size,cost\n1.5,a,100,2.5\n# note\n\n2,b,200,0\r\n");
  ASSERT_TRUE(trace.ok()) << trace.error().public_message;
  ASSERT_EQ(trace->requests.size(), 2u);
  EXPECT_EQ(trace->requests[0].time_ms, 1500);
  EXPECT_EQ(trace->requests[0].id, Hash64Of("a"));
  EXPECT_EQ(trace->requests[0].bytes, 100u);
  EXPECT_EQ(trace->requests[0].cost_seconds, 2.5);
  EXPECT_EQ(trace->requests[1].cost_seconds, 0);
  EXPECT_TRUE(trace->has_cost);

  const Result<Trace> plain = Read("1, 7 ,100\n");
  ASSERT_TRUE(plain.ok());
  EXPECT_FALSE(plain->has_cost);
  EXPECT_EQ(plain->requests[0].id, Hash64Of("7"));
  EXPECT_EQ(plain->requests[0].cost_seconds, 1);
}

TEST(ReadTrace, SortsByTimeAndKeepsTheOrderOfEqualTimes) {
  const Result<Trace> trace = Read("5,a,1\n3,b,1\n5,c,1\n");
  ASSERT_TRUE(trace.ok());
  EXPECT_EQ(trace->requests[0].id, Hash64Of("b"));
  EXPECT_EQ(trace->requests[1].id, Hash64Of("a"));
  EXPECT_EQ(trace->requests[2].id, Hash64Of("c"));
}

TEST(ReadTrace, NamesLineAndFieldOfWhatItCannotRead) {
  EXPECT_EQ(ErrorOf("1,a,1\n2,b\n"), "line 2: expects timestamp,id,size[,cost]");
  EXPECT_EQ(ErrorOf("1,a,1\nsoon,b,1\n"), "line 2, timestamp: \"soon\" is no number of seconds");
  EXPECT_EQ(ErrorOf("1,a,1\nnan,b,1\n"), "line 2, timestamp: \"nan\" is no number of seconds");
  EXPECT_EQ(ErrorOf("1,a,-1\n"), "line 1, size: \"-1\" is no number of bytes");
  EXPECT_EQ(ErrorOf("1,,1\n"), "line 1, id: is empty");
  EXPECT_EQ(ErrorOf("1,a,1,-2\n"), "line 1, cost: \"-2\" is no number of seconds");
  EXPECT_EQ(ErrorOf("1,a,1,inf\n"), "line 1, cost: \"inf\" is no number of seconds");
  EXPECT_EQ(ErrorOf(""), "the trace is empty");
  EXPECT_EQ(ErrorOf("timestamp,id,size\n"), "the trace has no request that could be replayed");
  EXPECT_EQ(ErrorOf("1,a,1\n", TraceFormat::kLog), "line 1: is no JSON object");
  EXPECT_EQ(ErrorOf("{}\n{\"a\"\n"), "line 2: is no JSON object");
  EXPECT_EQ(ErrorOf(LogLine("01.5", R"("key":7)")), "line 1, key: is no string");
  EXPECT_EQ(ErrorOf(LogLine("61.5", R"("key":"k")")),
            "line 1, time: is no time such as 2026-11-27T12:00:00.000Z");
  EXPECT_EQ(ErrorOf(LogLine("01.5", R"("key":"k","entity_bytes":"x")")),
            "line 1, entity_bytes: is no number of bytes");
  EXPECT_EQ(ErrorOf(LogLine("01.5", R"("key":"k","entity_bytes":5)")),
            "line 1, encode_ms: is no number of milliseconds");
}

TEST(ReadTrace, ReadsTheAccessLogOfTheServer) {
  const Result<Trace> trace =
      Read(R"({"time":"2026-11-27T12:00:00.000Z","level":"info","event":"listening","address":"x"})"
           "\n" +
           LogLine("01.250",
                   R"("status":200,"layer":"edge","key":"k","entity_bytes":5,"encode_ms":1500)") +
           LogLine("02.000", R"("status":404,"layer":"none","key":"gone","reason":"NOT_FOUND")") +
           LogLine("03.000", R"("status":200,"layer":"passthrough")"));
  ASSERT_TRUE(trace.ok()) << trace.error().public_message;
  ASSERT_EQ(trace->requests.size(), 1u);
  EXPECT_EQ(trace->skipped, 3u);
  EXPECT_EQ(trace->requests[0].time_ms % 60'000, 1250);
  EXPECT_EQ(trace->requests[0].time_ms / 60'000, 1795780800LL / 60);
  EXPECT_EQ(trace->requests[0].id, Hash64Of("k"));
  EXPECT_EQ(trace->requests[0].bytes, 5u);
  EXPECT_EQ(trace->requests[0].cost_seconds, 1.5);
}

/// A streamed production knows neither: its line has a key only.
TEST(ReadTrace, TakesSizeAndCostOfTheNextLineThatTells) {
  const Result<Trace> trace =
      Read(LogLine("01", R"("key":"a")") + LogLine("02", R"("key":"never")") +
           LogLine("03", R"("key":"a","entity_bytes":5,"encode_ms":1000)") +
           LogLine("04", R"("key":"a")") +
           LogLine("05", R"("key":"a","entity_bytes":9,"encode_ms":2000)") +
           LogLine("06", R"("key":"a")"));
  ASSERT_TRUE(trace.ok()) << trace.error().public_message;
  std::vector<uint64_t> sizes;
  for (const TraceRequest& request : trace->requests) sizes.push_back(request.bytes);
  EXPECT_EQ(sizes, (std::vector<uint64_t>{5, 5, 9, 9, 9}));
  EXPECT_EQ(trace->skipped, 1u);
}

TEST(ReadTrace, AProductionThatWasSentWholeTellsAboutItselfWhenNobodyElseDoes) {
  const std::string whole = R"("status":200,"layer":"transform","bytes":70,"ms":2500.5,)";
  const Result<Trace> trace =
      Read(LogLine("01", whole + R"("complete":true,"key":"a")") +
           LogLine("02", whole + R"("complete":false,"key":"cut")") +
           LogLine("03", whole + R"("complete":true,"key":"told")") +
           LogLine("04", R"("key":"told","entity_bytes":5,"encode_ms":1000)"));
  ASSERT_TRUE(trace.ok()) << trace.error().public_message;
  ASSERT_EQ(trace->requests.size(), 3u);
  EXPECT_EQ(trace->requests[0].bytes, 70u);
  EXPECT_DOUBLE_EQ(trace->requests[0].cost_seconds, 2.5005);
  EXPECT_EQ(trace->requests[1].bytes, 5u);
  EXPECT_EQ(trace->skipped, 1u);
}

TEST(ReadTrace, ReadsWhatIsWritten) {
  const std::vector<TraceRequest> made = GenerateTrace({.requests = 500});
  std::ostringstream out;
  WriteTrace(out, made);
  const Result<Trace> read = Read(out.str());
  ASSERT_TRUE(read.ok());
  ASSERT_EQ(read->requests.size(), made.size());
  for (size_t n = 0; n < made.size(); ++n) {
    ASSERT_EQ(read->requests[n].time_ms, made[n].time_ms);
    ASSERT_EQ(read->requests[n].bytes, made[n].bytes);
    ASSERT_NEAR(read->requests[n].cost_seconds, made[n].cost_seconds, 1e-4);
  }
}

TEST(GenerateTrace, TheSameSeedGivesTheSameTraceAndAnotherAnother) {
  const auto one = GenerateTrace({.kind = TraceKind::kChurn, .seed = 3, .requests = 2000});
  const auto same = GenerateTrace({.kind = TraceKind::kChurn, .seed = 3, .requests = 2000});
  const auto other = GenerateTrace({.kind = TraceKind::kChurn, .seed = 4, .requests = 2000});
  size_t equal = 0, alike = 0;
  for (size_t n = 0; n < one.size(); ++n) {
    equal += one[n].id == same[n].id && one[n].bytes == same[n].bytes ? 1 : 0;
    alike += one[n].id == other[n].id ? 1 : 0;
  }
  EXPECT_EQ(equal, one.size());
  EXPECT_LT(alike, one.size() / 2);
}

TEST(GenerateTrace, SizesSpanFromStillsToLongFilms) {
  const auto requests = GenerateTrace({.requests = 50'000});
  const auto [least, most] = std::minmax_element(
      requests.begin(), requests.end(), [](auto& a, auto& b) { return a.bytes < b.bytes; });
  EXPECT_LT(least->bytes, 50'000u);
  EXPECT_GT(most->bytes, 100'000'000u);
  EXPECT_LT(most->bytes, 5'000'000'000u);
}

}  // namespace
}  // namespace vr::capacity
