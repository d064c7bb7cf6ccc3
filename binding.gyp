{
  # san: a list for -fsanitize= (`-Dsan=address,undefined`, `-Dsan=thread`). cov: `gcc` or `clang`, for coverage builds.
  "variables": {
    "san%": "",
    "cov%": "",
    "napi_include": "<!(node -p \"require('node:path').resolve(require('node-addon-api').include_dir)\")"
  },
  # Every target of ours, library or executable: C++17, all warnings are errors. Headers of others come by -isystem.
  "target_defaults": {
    "cflags": ["-fvisibility=hidden"],
    "ldflags": ["-Wl,-z,relro,-z,now"],
    "cflags_cc": ["-std=c++17", "-isystem<(napi_include)", "-isystem<(node_root_dir)/include/node"],
    # Exceptions stay on for what the standard library throws (std::thread); none crosses into Node.
    "cflags_cc!": ["-std=gnu++17", "-std=gnu++20", "-fno-exceptions"],
    "defines": [
      "NAPI_VERSION=8",
      "NAPI_DISABLE_CPP_EXCEPTIONS",
      "NODE_API_SWALLOW_UNTHROWABLE_EXCEPTIONS"
    ],
    # Overflows end the process, and what the loader has resolved can't be written. Sanitizers and -O0 have no use for it.
    "conditions": [
      ["san=='' and cov==''", {
        "cflags": ["-fstack-protector-strong", "-U_FORTIFY_SOURCE", "-D_FORTIFY_SOURCE=2"]
      }],
      ["san!=''", {
        "cflags": ["-fsanitize=<(san)", "-fno-omit-frame-pointer", "-O1", "-g"],
        "cflags!": ["-O3"],
        "ldflags": ["-fsanitize=<(san)"]
      }],
      ["cov=='gcc'", { "cflags": ["--coverage", "-O0"], "cflags!": ["-O3"], "ldflags": ["--coverage"] }],
      ["cov=='clang'", {
        # Counters that can be kept in a mapped file (%c): a process that is killed, or becomes another, still counts.
        "cflags": ["-fprofile-instr-generate", "-fcoverage-mapping", "-mllvm", "-runtime-counter-relocation"],
        "ldflags": ["-fprofile-instr-generate"]
      }]
    ]
  },
  "targets": [
    {
      "target_name": "hivepulse",
      "sources": [
        "native/addon.cc",
        "native/blocking_files.cc",
        "native/cgroup_object.cc",
        "native/cgroup_parse.cc",
        "native/cgroup_reader.cc",
        "native/descriptor_limit.cc",
        "native/detached_thread.cc",
        "native/drm_parse.cc",
        "native/drm_rows.cc",
        "native/files_object.cc",
        "native/gpu_loop.cc",
        "native/gpu_object.cc",
        "native/gpu_thread.cc",
        "native/kept_files.cc",
        "native/kernel_file.cc",
        "native/library_probe.cc",
        "native/namespace_connector.cc",
        "native/namespace_object.cc",
        "native/notifier.cc",
        "native/process_usage.cc",
        "native/resident_memory.cc",
        "native/nvml_events.cc",
        "native/nvml_library.cc",
        "native/nvml_reader.cc",
        "native/sample_thread.cc",
        "native/socket_dump.cc",
        "native/socket_object.cc",
        "native/socket_reader.cc",
        "native/status_questions.cc",
        "native/to_js.cc"
      ],
      "cflags": ["-Wall", "-Wextra", "-Wconversion", "-Werror"],
      # Threads of the addon may outlive the environment that started them: its code must stay mapped.
      "ldflags": ["-Wl,-z,nodelete"],
      "libraries": ["-ldl"]
    },
    {
      # The GPU reader as a process of its own (gpuIsolation: process). No Node in it: it has to stay small.
      "target_name": "hivepulse-gpu",
      "type": "executable",
      "product_extension": "",
      "sources": [
        "native/confine.cc",
        "native/detached_thread.cc",
        "native/gpu_helper_main.cc",
        "native/gpu_loop.cc",
        "native/library_probe.cc",
        "native/nvml_events.cc",
        "native/nvml_library.cc",
        "native/nvml_reader.cc"
      ],
      "cflags": ["-fPIE", "-Wall", "-Wextra", "-Wconversion", "-Werror"],
      "ldflags": ["-pie", "-pthread", "-static-libstdc++", "-static-libgcc"],
      "libraries": ["-ldl"]
    },
    {
      # Joins a worker's cgroup and becomes its command.
      "target_name": "hivepulse-launch",
      "type": "executable",
      "sources": ["native/launch_main.c"],
      "cflags": ["-fPIE", "-Wall", "-Wextra", "-Wconversion", "-Werror"],
      "ldflags": ["-pie"]
    }
  ]
}
