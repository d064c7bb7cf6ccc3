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
                         InstanceMethod<&FilesObject::RunningAt>("runningAt"),
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

/// submit(work, paths, argument): `paths` is an array, or one text with a path a line, as a string or as its bytes: to
/// take in a path each costs more than reading what it names. `argument` is how much is read of a file at most, or how
/// links begin. submit("usage", procRoot, pids) takes an Int32Array.
Napi::Value FilesObject::Submit(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  FileBatch batch;
  if (!FileWorkFromJs(info[0], &batch.work) || (!info[1].IsArray() && !info[1].IsString() && !info[1].IsBuffer())) {
    Napi::TypeError::New(env, "submit(work, paths, argument)").ThrowAsJavaScriptException();
    return env.Undefined();
  }
  batch.id = ++last_id_ == 0 ? ++last_id_ : last_id_;
  if (info[2].IsNumber()) batch.max_bytes = static_cast<std::size_t>(info[2].As<Napi::Number>().Int64Value());
  if (info[2].IsString()) batch.link_prefix = info[2].As<Napi::String>().Utf8Value();
  if (batch.work == FileWork::kUsage) {
    if (!info[1].IsString() || !info[2].IsTypedArray() ||
        info[2].As<Napi::TypedArray>().TypedArrayType() != napi_int32_array) {
      Napi::TypeError::New(env, "submit(\"usage\", procRoot, pids)").ThrowAsJavaScriptException();
      return env.Undefined();
    }
    batch.proc_root = info[1].As<Napi::String>().Utf8Value();
    const Napi::Int32Array pids = info[2].As<Napi::Int32Array>();
    batch.pids.assign(pids.Data(), pids.Data() + pids.ElementLength());
  } else if (info[1].IsString()) {
    batch.lines = info[1].As<Napi::String>().Utf8Value();
  } else if (info[1].IsBuffer()) {
    batch.lines = PathFromJs(info[1]);
  } else {
    const Napi::Array paths = info[1].As<Napi::Array>();
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
  Napi::Array result = Napi::Array::New(info.Env(), kBatchValues * batches.size());
  for (std::uint32_t i = 0; i < batches.size(); ++i) BatchToJs(batches[i], kBatchValues * i, &result);
  return result;
}

Napi::Value FilesObject::RunningMs(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), files_->RunningMs());
}

Napi::Value FilesObject::RunningAt(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), files_->RunningAt());
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
