#include "files_object.h"

#include <sstream>
#include <string>
#include <utility>

#include "to_js.h"

namespace hivepulse {

Napi::Function FilesObject::Class(Napi::Env env) {
  return DefineClass(env, "BlockingFiles",
                     {
                         InstanceMethod<&FilesObject::Submit>("submit"),
                         InstanceMethod<&FilesObject::Take>("take"),
                         InstanceMethod<&FilesObject::RunningMs>("runningMs"),
                         InstanceMethod<&FilesObject::KeepAlive>("keepAlive"),
                         InstanceMethod<&FilesObject::Close>("close"),
                     });
}

FilesObject::FilesObject(const Napi::CallbackInfo& info) : Napi::ObjectWrap<FilesObject>(info) {
  if (!info[0].IsFunction()) {
    Napi::TypeError::New(info.Env(), "BlockingFiles(onDone)").ThrowAsJavaScriptException();
    return;
  }
  notifier_ = Notifier::Create(info.Env(), info[0].As<Napi::Function>(), "hivepulse.files");
  if (notifier_ == nullptr) return;
  files_ = BlockingFiles::Create([notifier = notifier_] { notifier->Notify(); });
}

FilesObject::~FilesObject() { Shut(); }

void FilesObject::Shut() {
  if (notifier_ != nullptr) notifier_->Close();
  if (files_ != nullptr) files_->Close();
}

/// submit(paths, maxBytes) reads; submit(paths, prefix) gives targets of links; submit(paths, true) gives sockets that
/// listen in namespaces; submit(text, false) reads what processes use, a directory of /proc a line; submit(paths)
/// lists.
Napi::Value FilesObject::Submit(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  if (!info[0].IsArray() && !info[0].IsString()) {
    Napi::TypeError::New(env, "submit(paths, maxBytes or prefix)").ThrowAsJavaScriptException();
    return env.Undefined();
  }
  FileBatch batch;
  batch.id = ++last_id_ == 0 ? ++last_id_ : last_id_;
  if (info[1].IsNumber()) {
    batch.max_bytes = static_cast<std::size_t>(info[1].As<Napi::Number>().Int64Value());
  } else if (info[1].IsString()) {
    batch.work = FileWork::kLinks;
    batch.link_prefix = info[1].As<Napi::String>().Utf8Value();
  } else if (info[1].IsBoolean()) {
    batch.work = info[1].As<Napi::Boolean>().Value() ? FileWork::kSockets : FileWork::kUsage;
  } else {
    batch.work = FileWork::kList;
  }
  if (info[0].IsString()) {
    // One text: to take in a path each costs more than reading what it names.
    std::istringstream lines(info[0].As<Napi::String>().Utf8Value());
    for (std::string line; std::getline(lines, line);) batch.paths.push_back(line);
  } else {
    const Napi::Array paths = info[0].As<Napi::Array>();
    batch.paths.reserve(paths.Length());
    for (std::uint32_t i = 0; i < paths.Length(); ++i) batch.paths.push_back(PathFromJs(paths.Get(i)));
  }
  const std::uint32_t id = batch.id;
  if (!files_->Submit(std::move(batch))) {
    Napi::Error::New(env, "the system gives no thread for reading files").ThrowAsJavaScriptException();
    return env.Undefined();
  }
  return Napi::Number::New(env, id);
}

Napi::Value FilesObject::Take(const Napi::CallbackInfo& info) {
  const std::vector<FileBatch> batches = files_->Take();
  Napi::Array result = Napi::Array::New(info.Env(), batches.size());
  for (std::uint32_t i = 0; i < batches.size(); ++i) result.Set(i, BatchToJs(info.Env(), batches[i]));
  return result;
}

Napi::Value FilesObject::RunningMs(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), files_->RunningMs());
}

void FilesObject::KeepAlive(const Napi::CallbackInfo& info) {
  if (info[0].ToBoolean().Value()) {
    notifier_->Ref();
  } else {
    notifier_->Unref();
  }
}

void FilesObject::Close(const Napi::CallbackInfo&) { Shut(); }

}  // namespace hivepulse
