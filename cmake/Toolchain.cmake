# Warnings, sanitizers, linker and compiler cache: everything that is about the tools and not about the code.
add_library(vr_flags INTERFACE)
target_compile_options(vr_flags INTERFACE -pthread -Wall -Wextra -Wpedantic -Wno-missing-field-initializers
  $<$<BOOL:${VR_WERROR}>:-Werror>)
if(CMAKE_CXX_COMPILER_ID STREQUAL "Clang")
  target_compile_options(vr_flags INTERFACE -Wthread-safety -Wno-unused-command-line-argument)
else()
  # g++ 12 reports false positives of these inside coroutine frames and std::variant at -O2; the last one is about the
  # operator delete of Asio's awaitable frames.
  target_compile_options(vr_flags INTERFACE -Wno-maybe-uninitialized -Wno-restrict -Wno-dangling-pointer
    -Wno-mismatched-new-delete)
  # With optimisation also of these, about bounds of inlined std::string::_M_replace (g++ bug 105651). Debug and clang still look.
  target_compile_options(vr_flags INTERFACE
    "$<$<CONFIG:Release>:-Wno-stringop-overflow;-Wno-stringop-overread;-Wno-array-bounds>")
endif()
target_include_directories(vr_flags INTERFACE "${CMAKE_SOURCE_DIR}/src")
target_compile_definitions(vr_flags INTERFACE BOOST_ASIO_NO_DEPRECATED BOOST_ASIO_SEPARATE_COMPILATION
  FMT_SHARED)
# Thread exit order of sanitizers and jemalloc do not mix; plain glibc malloc everywhere for now.
if(VR_SANITIZE)
  target_compile_options(vr_flags INTERFACE -fsanitize=${VR_SANITIZE} -fno-omit-frame-pointer
    -fno-sanitize-recover=all)
  target_link_options(vr_flags INTERFACE -fsanitize=${VR_SANITIZE})
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    # A false positive of g++ 12 about Asio's fences.
    target_compile_options(vr_flags INTERFACE -Wno-tsan)
  endif()
  target_compile_definitions(vr_flags INTERFACE VR_SANITIZED=1)
endif()
if(VR_FUZZ)
  # Counters in every room, not only in the targets: without them libFuzzer sees nothing of what its inputs reach.
  target_compile_options(vr_flags INTERFACE -fsanitize=fuzzer-no-link)
endif()

# Profile-guided and link-time optimised: tools/build_pgo builds the same directory twice, with a training run in between.
if(VR_PGO STREQUAL "generate")
  target_compile_options(vr_flags INTERFACE -fprofile-generate -fprofile-update=prefer-atomic)
  target_link_options(vr_flags INTERFACE -fprofile-generate)
elseif(VR_PGO STREQUAL "use")
  # What the training did not reach is compiled as ever, not for size.
  target_compile_options(vr_flags INTERFACE -fprofile-use -fprofile-partial-training -fprofile-correction -flto=auto
    -Wno-missing-profile -Wno-coverage-mismatch)
  target_link_options(vr_flags INTERFACE -fprofile-use -flto=auto)
endif()

find_program(VR_MOLD mold)
if(VR_MOLD)
  add_link_options(-fuse-ld=mold)
endif()
find_program(VR_CCACHE ccache)
if(VR_CCACHE AND NOT VR_PGO)
  set(CMAKE_CXX_COMPILER_LAUNCHER "${CMAKE_COMMAND};-E;env;CCACHE_SLOPPINESS=pch_defines,time_macros;${VR_CCACHE}")
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    add_compile_options(-fpch-preprocess)
  endif()
endif()
