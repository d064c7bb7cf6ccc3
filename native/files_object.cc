#include "files_object.h"

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
/// listen in namespaces; submit(procRoot, pids) reads what processes use; submit(paths) lists.
Napi::Value FilesObject::Submit(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  FileBatch batch;
  batch.id = ++last_id_ == 0 ? ++last_id_ : last_id_;
  if (info[1].IsNumber()) {
    batch.max_bytes = static_cast<std::size_t>(info[1].As<Napi::Number>().Int64Value());
  } else if (info[1].IsString()) {
    batch.work = FileWork::kLinks;
    batch.link_prefix = info[1].As<Napi::String>().Utf8Value();
  } else if (info[1].IsBoolean()) {
    batch.work = FileWork::kSockets;
  } else if (info[1].IsTypedArray()) {
    batch.work = FileWork::kUsage;
  } else {
    batch.work = FileWork::kList;
  }
  if (batch.work == FileWork::kUsage) {
    if (!info[0].IsString() || info[1].As<Napi::TypedArray>().TypedArrayType() != napi_int32_array) {
      Napi::TypeError::New(env, "submit(procRoot, pids) takes a string and an Int32Array").ThrowAsJavaScriptException();
      return env.Undefined();
    }
    batch.proc_root = info[0].As<Napi::String>().Utf8Value();
    const Napi::Int32Array pids = info[1].As<Napi::Int32Array>();
    batch.pids.assign(pids.Data(), pids.Data() + pids.ElementLength());
  } else if (!info[0].IsArray()) {
    Napi::TypeError::New(env, "submit(paths, maxBytes or prefix)").ThrowAsJavaScriptException();
    return env.Undefined();
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
